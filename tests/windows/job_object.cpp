// SPDX-License-Identifier: MIT
// What a Job Object holds, and when it tells that it is empty.

#include "stage.hpp"
#include <support/catch.hpp>

#include <algorithm>
#include <set>

#include <windows/support.hpp>

using namespace stage;

namespace {

/// The members but the hosts of consoles, which Wine counts among them.
std::vector<Pid> programs(const JobTree& tree) {
    error_code unlisted;
    auto found = tree.members(unlisted);
    CHECK_FALSE(unlisted);
    std::erase_if(found, [](Pid pid) {
        const UniqueHandle process(::OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, FALSE, static_cast<DWORD>(pid)));
        std::array<wchar_t, 1024> path{};
        DWORD size = path.size();
        const BOOL told = process && ::QueryFullProcessImageNameW(process.get(), 0, path.data(), &size);
        return !told || std::wstring_view(path.data(), size).find(L"windows_victim") == std::wstring_view::npos;
    });
    return found;
}

}  // namespace

TEST_CASE("windows job: a descendant is a member from birth, and tree_empty comes only when all are gone",
          "[windows]") {
    Loop loop;
    Child child(loop, CommandLine(victim(), {"spawn-child-and-exit"}));
    REQUIRE(loop.until([&] { return child.end.has_value(); }));
    CHECK(child.end->status == warden::ExitStatus::from_code(0));
    CHECK_FALSE(child.tree_empty);
    REQUIRE(child.says(1));
    const Pid grandchild = std::stoi(child.words()[0]);
    const Seen seen(grandchild);
    CHECK(seen.lives());
    CHECK(programs(child.tree) == std::vector<Pid>{grandchild});
    error_code unread;
    CHECK(member(grandchild, unread)->command.find("windows_victim") != std::string::npos);
    CHECK(!child.tree.kill_tree());
    REQUIRE(child.ends());
    CHECK(child.told_extinct == 1);
    CHECK_FALSE(seen.lives());
    error_code ec;
    CHECK(child.tree.members(ec).empty());
    CHECK_FALSE(ec);
    CHECK(!child.tree.kill_tree());  // twice is no error
}

TEST_CASE("windows job: a leader that is alone tells its end and the end of its tree once each", "[windows]") {
    Loop loop;
    Child child(loop, CommandLine(victim(), {"exit", "3"}));
    REQUIRE(child.ends());
    CHECK(child.end->status.code() == 3);
    CHECK(child.told == 1);
    CHECK(child.told_extinct <= 1);  // at once on Windows; Wine counts the leader for a moment longer
}

TEST_CASE("windows job: an exit code is what the program gave, whatever it is", "[windows]") {
    Loop loop;
    for (const std::uint32_t code : {0u, 1u, 259u, 1816u, 0x7FFF'FFFFu, 0xC000'0005u, 0xFFFF'FFFFu, 0xE057'0009u}) {
        Child child(loop, CommandLine(victim(), {"exit", std::to_string(code)}));
        REQUIRE(child.ends());
        INFO(code);
        CHECK(child.end->status.exited());
        CHECK(static_cast<std::uint32_t>(child.end->status.code()) == code);
    }
}

TEST_CASE("windows job: a crash ends the process with the code of its exception", "[windows]") {
    Loop loop;
    Child child(loop, CommandLine(victim(), {"crash"}));
    REQUIRE(child.ends());
    CHECK(static_cast<std::uint32_t>(child.end->status.code()) == 0xC000'0005u);
}

TEST_CASE("windows job: what is ended by force says so", "[windows]") {
    Loop loop;
    Child child(loop, CommandLine(victim(), {"sleep-forever"}));
    REQUIRE(child.says(1));
    SECTION("the tree") { CHECK(!child.tree.signal_tree(signals::kill)); }
    SECTION("the leader") { CHECK(!child.tree.signal_leader(signals::kill)); }
    REQUIRE(child.ends());
    CHECK(child.end->status == warden::ExitStatus::from_signal(signals::kill, false));
}

TEST_CASE("windows job: destroying the tree ends everything in it", "[windows]") {
    Loop loop;
    std::vector<Seen> seen;
    {
        Child child(loop, CommandLine(victim(), {"spawn-many", "5"}));
        REQUIRE(child.says(6));
        REQUIRE(loop.until([&] { return programs(child.tree).size() == 6; }));
        for (const Pid pid : programs(child.tree)) seen.emplace_back(pid);
    }
    for (const Seen& process : seen) CHECK(process.ends());
}

TEST_CASE("windows job: ending the job of the manager ends what its trees hold", "[windows]") {
    Loop loop;
    Child child(loop, CommandLine(victim(), {"sleep-forever"}));
    REQUIRE(child.says(1));
    BOOL is_in = FALSE;
    const Seen seen(child.tree.pid());
    const UniqueHandle process(::OpenProcess(PROCESS_QUERY_INFORMATION, FALSE, static_cast<DWORD>(child.tree.pid())));
    REQUIRE(process);
    REQUIRE(::IsProcessInJob(process.get(), loop.manager->get(), &is_in));
    CHECK(is_in);
    CHECK(::TerminateJobObject(loop.manager->get(), killed_exit_code));
    REQUIRE(child.ends());
    CHECK_FALSE(seen.lives());
}

TEST_CASE("windows job: of a thousand short-lived children that start others, none is outside", "[windows]") {
    Loop loop;
    constexpr int leaders = 20;
    constexpr int each = 25;  // and each of these starts one more: 20 * 25 * 2
    std::vector<std::unique_ptr<Child>> children;
    for (int i = 0; i < leaders; ++i)
        children.push_back(std::make_unique<Child>(loop, CommandLine(victim(), {"spawn-many", std::to_string(each)})));
    std::vector<Seen> seen;
    for (auto& child : children) {
        REQUIRE(child->says(each + 1));
        const auto staying = std::stoul(child->words().back());  // a start that the system refused leaves nobody
        CHECK(staying >= each - 5);
        REQUIRE(loop.until([&] { return programs(child->tree).size() == staying + 1; }));  // with the leader
        const auto members = programs(child->tree);
        const std::set<Pid> distinct(members.begin(), members.end());
        CHECK(distinct.size() == members.size());
        for (const Pid pid : members) seen.emplace_back(pid);
    }
    for (auto& child : children) CHECK(!child->tree.kill_tree());
    for (auto& child : children) REQUIRE(child->ends());
    CHECK(std::none_of(seen.begin(), seen.end(), [](const Seen& process) { return process.lives(); }));
}

TEST_CASE("windows job: one that asks to break away may, and is no member", "[windows]") {
    Loop loop;
    Child child(loop, CommandLine(victim(), {"breakaway"}));
    REQUIRE(loop.until([&] { return child.end.has_value(); }));
    CHECK(child.end->status.success());
    REQUIRE(child.says(1));
    const Pid left = std::stoi(child.words().at(0));
    CHECK(programs(child.tree).empty());
    const Seen seen(left);
    CHECK(!child.tree.kill_tree());
    REQUIRE(child.ends());
    CHECK(seen.lives());
    ::TerminateProcess(seen.process.get(), 1);
    CHECK(seen.ends());
}

TEST_CASE("windows job: a stopped tree goes on after one word, however often it was stopped", "[windows]") {
    Loop loop;
    SpawnOptions options;
    options.stdin_ = Input::pipe;
    Child child(loop, CommandLine(victim(), {"stdin-to-stdout"}), options);
    CHECK(!child.tree.signal_tree(signals::stop));
    CHECK(!child.tree.signal_tree(signals::stop));
    CHECK(!child.tree.signal_leader(signals::stop));
    boost::asio::windows::stream_handle input(loop.context, child.input.release());
    bool written = false;
    input.async_write_some(boost::asio::buffer("hello", 5), [&](const error_code& ec, std::size_t) { written = !ec; });
    REQUIRE(loop.until([&] { return written; }));
    CHECK(child.said.empty());
    CHECK(!child.tree.signal_tree(signals::resume));
    REQUIRE(loop.until([&] { return child.said == "hello"; }));
    input.close();
    REQUIRE(child.ends());
}

TEST_CASE("windows job: a stopped tree can be ended by force", "[windows]") {
    Loop loop;
    Child child(loop, CommandLine(victim(), {"spawn-many", "2"}));
    REQUIRE(child.says(3));
    CHECK(!child.tree.signal_tree(signals::stop));
    CHECK(!child.tree.kill_tree());
    REQUIRE(child.ends());
}

TEST_CASE("windows job: a program that listens is asked to end", "[windows]") {
    Loop loop;
    SKIP_WITHOUT_CONSOLE_EVENTS();
    Child child(loop, CommandLine(victim(), {"end-on-break"}));
    REQUIRE(child.says(1));
    CHECK(!child.tree.signal_tree(signals::terminate));
    REQUIRE(child.ends());
    CHECK(child.end->status.code() == 77);
}

TEST_CASE("windows job: a program that does not listen is still there to be ended by force", "[windows]") {
    Loop loop;
    Child child(loop, CommandLine(victim(), {"ignore-break"}));
    REQUIRE(child.says(1));
    static_cast<void>(child.tree.signal_leader(signals::terminate));
    CHECK(Seen(child.tree.pid()).lives());
    CHECK(!child.tree.kill_tree());
    REQUIRE(child.ends());
}

TEST_CASE("windows job: other signals are none of this system", "[windows]") {
    Loop loop;
    Child child(loop, CommandLine(victim(), {"sleep-forever"}));
    for (const int signal : {0, 1, 2, 10, 24, 64}) {
        CHECK(child.tree.signal_tree(signal) == errc::invalid_signal);
        CHECK(child.tree.signal_leader(signal) == errc::invalid_signal);
    }
    CHECK(!child.tree.has_escaped(child.tree.pid()));
}

TEST_CASE("windows job: messages for a tree that is gone find nobody", "[windows]") {
    Loop loop;
    for (int i = 0; i < 20; ++i) {
        Child child(loop, CommandLine(victim(), {"exit", "0"}));
        if (i % 2 == 0) REQUIRE(loop.until([&] { return child.end.has_value(); }));
    }
    CHECK(loop.manager.use_count() == 1);
}

TEST_CASE("windows job: all that a flood has written arrives before its end", "[windows]") {
    Loop loop;
    Child child(loop, CommandLine(victim(), {"flood", "10000000"}));
    REQUIRE(child.ends());
    CHECK(child.said.size() == 10'000'000);
}

TEST_CASE("windows job: the last resort ends what runs, by a program of the system", "[windows]") {
    SKIP_UNLESS(!support::is_wine(), "the taskkill of Wine 8 does not know /T");
    Loop loop;
    Child child(loop, CommandLine(victim(), {"ignore-break"}));
    REQUIRE(child.says(1));
    CHECK(!child.tree.last_resort());
    REQUIRE(child.ends());
}
