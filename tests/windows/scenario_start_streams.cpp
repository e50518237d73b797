// SPDX-License-Identifier: MIT
// A child has the streams that were asked for, whatever the program holds; and the program keeps its own.
#include <warden/detail/system/unique_handle_windows.hpp>

#include <array>
#include <set>

#include <windows/scenario_start.hpp>

using namespace support;
using warden::Input;
using warden::Output;
using warden::SpawnOptions;
using warden::detail::UniqueHandle;

namespace {

constexpr std::array<DWORD, 3> streams{STD_INPUT_HANDLE, STD_OUTPUT_HANDLE, STD_ERROR_HANDLE};

/// The standard streams of the program, put back at the end.
class KeptStreams {
public:
    KeptStreams() {
        for (std::size_t i = 0; i < streams.size(); ++i) before_[i] = ::GetStdHandle(streams[i]);
    }
    KeptStreams(const KeptStreams&) = delete;
    ~KeptStreams() {
        for (std::size_t i = 0; i < streams.size(); ++i) ::SetStdHandle(streams[i], before_[i]);
    }

private:
    std::array<HANDLE, 3> before_{};
};

UniqueHandle open_file(const std::filesystem::path& path) {
    return UniqueHandle(::CreateFileW(path.c_str(), GENERIC_READ | GENERIC_WRITE,
                                      FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr, OPEN_ALWAYS, 0,
                                      nullptr));
}

/// The numbers of this program's handles that a child inherits that asks for all.
std::set<std::uintptr_t> inheritable_handles() {
    std::set<std::uintptr_t> found;
    for (std::uintptr_t number = 4; number < 0x4000; number += 4) {
        DWORD flags = 0;
        if (::GetHandleInformation(reinterpret_cast<HANDLE>(number), &flags) && (flags & HANDLE_FLAG_INHERIT) != 0)
            found.insert(number);
    }
    return found;
}

}  // namespace

TEST_CASE("scenario: a program without standard streams starts children that have them", "[scenario]") {
    for (unsigned closed = 1; closed < 8; ++closed) {
        const KeptStreams kept;
        for (std::size_t i = 0; i < 3; ++i) {
            if ((closed >> i & 1) != 0) ::SetStdHandle(streams[i], nullptr);
        }
        TestManager manager;
        const auto seen = manager->run(victim("streams")).out;
        const auto echoed = manager->run(victim("stdin-to-stdout"), {}, "round trip").out;
        const auto both = manager->run(victim("both"));
        const KeptStreams again;  // what the manager has made of them
        INFO("closed: " << closed);
        CHECK(seen == "char\npipe\npipe\n");
        CHECK(echoed == "round trip");
        CHECK(both.out + both.err == "outerr");
        for (std::size_t i = 0; i < 3; ++i) CHECK((::GetStdHandle(streams[i]) == nullptr) == ((closed >> i & 1) != 0));
    }
}

TEST_CASE("scenario: what a closed standard stream would inherit is the null device, not something of warden's",
          "[scenario]") {
    const KeptStreams kept;
    ::SetStdHandle(STD_INPUT_HANDLE, nullptr);
    ::SetStdHandle(STD_OUTPUT_HANDLE, INVALID_HANDLE_VALUE);
    TestManager manager;
    SpawnOptions options;
    options.stdin_ = Input::inherit;
    options.stdout_ = Output::inherit;
    options.stderr_ = Output::capture;
    const auto listing = manager.directory / "listing";
    CHECK(manager->run(victim("streams", listing.string()), options).success());
    CHECK(read_file(listing) == "char\nchar\npipe\n");
}

TEST_CASE("scenario: inherited streams are the program's own, in every combination with others", "[scenario]") {
    const TestDirectory place;
    write_file(place / "in", "what is in the file\n");
    for (unsigned inherited = 0; inherited < 8; ++inherited) {
        const std::string number = std::to_string(inherited);
        const auto out = place / ("out" + number);
        const auto err = place / ("err" + number);
        const std::array<UniqueHandle, 3> files{open_file(place / "in"), open_file(out), open_file(err)};
        SpawnOptions options;
        if ((inherited & 1) != 0) options.stdin_ = Input::inherit;
        options.stdout_ = (inherited & 2) != 0 ? Output::inherit : Output::capture;
        options.stderr_ = (inherited & 4) != 0 ? Output::inherit : Output::capture;
        warden::CompletedProcess listed, copied, both;
        {
            const KeptStreams kept;
            for (std::size_t i = 0; i < 3; ++i) ::SetStdHandle(streams[i], files[i].get());
            TestManager manager;
            listed = manager->run(victim("streams", (place / "listing").string()), options);
            both = manager->run(victim("both"), options);
            if ((inherited & 1) != 0) copied = manager->run(victim("head", "1"), {.stdin_ = Input::inherit});
        }
        INFO("inherited: " << inherited);
        CHECK(listed.success());
        CHECK(read_file(place / "listing") == std::string((inherited & 1) != 0 ? "disk\n" : "char\n") +
                                                  ((inherited & 2) != 0 ? "disk\n" : "pipe\n") +
                                                  ((inherited & 4) != 0 ? "disk\n" : "pipe\n"));
        CHECK(read_file(out) + both.out == "out");
        CHECK(read_file(err) + both.err == "err");
        CHECK(both.out.empty() == ((inherited & 2) != 0));
        CHECK(both.err.empty() == ((inherited & 4) != 0));
        CHECK(copied.out == ((inherited & 1) != 0 ? "what is in the file\n" : ""));
    }
}

TEST_CASE("scenario: output that is inherited and captured arrives at both", "[scenario]") {
    const TestDirectory place;
    const UniqueHandle file = open_file(place / "both");
    warden::CompletedProcess done;
    {
        const KeptStreams kept;
        ::SetStdHandle(STD_OUTPUT_HANDLE, file.get());
        ::SetStdHandle(STD_ERROR_HANDLE, file.get());
        TestManager manager;
        SpawnOptions options;
        options.stdout_ = Output::inherit | Output::capture;
        options.stderr_ = Output::inherit | Output::capture;
        done = manager->run(victim("both"), options);
    }  // all is copied
    CHECK(done.out == "out");
    CHECK(done.err == "err");
    const std::string copied = read_file(place / "both");
    CHECK((copied == "outerr" || copied == "errout"));
}

TEST_CASE("scenario: output is read in a program that has thousands of handles open", "[scenario]") {
    std::vector<UniqueHandle> many;
    SECURITY_ATTRIBUTES inheritable{sizeof inheritable, nullptr, TRUE};
    for (int i = 0; i < 3000; ++i) many.emplace_back(::CreateEventW(&inheritable, TRUE, FALSE, nullptr));
    TestManager manager;
    CHECK(manager->run(victim("stdin-to-stdout"), {}, "round trip").out == "round trip");
    CHECK(manager->run(victim("streams"), {.stdin_ = Input::pipe}).out == "pipe\npipe\npipe\n");
}

TEST_CASE("scenario: nothing that warden opens is inherited by a child of the program's own", "[scenario]") {
    const auto before = inheritable_handles();
    TestManager manager;
    SpawnOptions options;
    options.stdin_ = Input::pipe;
    options.stdout_ = Output::capture;
    auto process = manager->spawn(victim("stdin-to-stdout"), options);
    auto logged = manager->spawn(victim("sleep-forever"), {.stop_plan = warden::StopPlan::now()});
    CHECK(inheritable_handles() == before);
    process.close_stdin();
    CHECK(process.wait().success());
}
