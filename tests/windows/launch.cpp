// SPDX-License-Identifier: MIT
// What a child is given, and how a start fails, on Windows.

#include "stage.hpp"
#include <support/catch.hpp>

#include <fstream>
#include <iterator>

using namespace stage;

namespace {

std::string content(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// How the start fails.
struct Failure {
    SpawnStep step{};
    error_code code;
};

Failure failure(const CommandLine& command, const SpawnOptions& options = {}) {
    Loop loop;
    try {
        const Child child(loop, command, options);
    } catch (const SpawnError& error) {
        return {error.step(), error.code()};
    }
    return {};
}

/// An initializer of a user: keeps what it sees.
struct Recorder {
    error_code on_setup(BoostLauncher& launcher, const BoostPath&, std::wstring& line) {
        ++set_up;
        launcher.startup_info.StartupInfo.lpTitle = title;
        if (!replaced.empty()) line = replaced;
        return refusal;
    }
    void on_success(BoostLauncher& launcher, const BoostPath&, const std::wstring&) {
        ++succeeded;
        pid = static_cast<Pid>(launcher.process_information.dwProcessId);
    }
    void on_error(BoostLauncher&, const BoostPath&, const std::wstring&, const error_code& ec) { told = ec; }

    int set_up = 0;
    int succeeded = 0;
    Pid pid = 0;
    error_code refusal;
    error_code told;
    std::wstring replaced;
    wchar_t title[5] = L"test";
};

}  // namespace

TEST_CASE("windows launch: output goes to files, one for both if it is one", "[windows]") {
    Loop loop;
    const Directory directory;
    const auto path = directory.path / "out.txt";
    std::ofstream(path) << "something longer that was there before";
    SECTION("two") {
        Child child(loop, CommandLine(victim(), {"both"}), {}, Output::to_file(path),
                    Output::to_file(directory.path / "err.txt"));
        REQUIRE(child.ends());
        CHECK(content(path) == "out");
        CHECK(content(directory.path / "err.txt") == "err");
    }
    SECTION("one") {
        Child child(loop, CommandLine(victim(), {"both"}), {}, Output::to_file(path), Output::to_file(path));
        REQUIRE(child.ends());
        CHECK(content(path) == "outerr");
    }
}

TEST_CASE("windows launch: stderr is captured by itself or goes where stdout goes", "[windows]") {
    Loop loop;
    SECTION("apart") {
        Child child(loop, CommandLine(victim(), {"both"}), {}, Output::capture, Output::capture);
        REQUIRE(child.ends());
        CHECK(child.said == "out");
        CHECK(child.complained == "err");
    }
    SECTION("merged") {
        Child child(loop, CommandLine(victim(), {"both"}), {}, Output::capture, Output::merge);
        REQUIRE(child.ends());
        CHECK(child.said == "outerr");
    }
}

TEST_CASE("windows launch: input comes from nowhere, a file, or another process", "[windows]") {
    Loop loop;
    const Directory directory;
    const auto path = directory.path / "in.txt";
    std::ofstream(path) << "from a file";
    SpawnOptions options;
    SECTION("nowhere") {
        Child child(loop, CommandLine(victim(), {"stdin-to-stdout"}), options);
        REQUIRE(child.ends());
        CHECK(child.said.empty());
    }
    SECTION("a file") {
        options.stdin_ = Input::from_file(path);
        Child child(loop, CommandLine(victim(), {"stdin-to-stdout"}), options);
        REQUIRE(child.ends());
        CHECK(child.said == "from a file");
    }
    SECTION("another process") {
        const warden::ProcessPipe pipe;
        Child writer(loop, CommandLine(victim(), {"flood", "1000000"}), {}, Output(pipe));
        options.stdin_ = Input(pipe);
        Child reader(loop, CommandLine(victim(), {"stdin-to-stdout"}), options);
        REQUIRE(writer.ends());
        REQUIRE(reader.ends());
        CHECK(reader.said.size() == 1'000'000);
        CHECK(failure(CommandLine(victim(), {"argv"}), options).code == errc::invalid_options);
    }
}

TEST_CASE("windows launch: a child inherits its standard streams and no other handle", "[windows]") {
    Loop loop;
    SECURITY_ATTRIBUTES inheritable{sizeof inheritable, nullptr, TRUE};
    std::vector<UniqueHandle> ours;
    std::vector<std::string> words{"look-at"};
    for (int i = 0; i < 600; ++i) {  // numbers that the child does not come to by itself
        ours.emplace_back(::CreateEventW(&inheritable, TRUE, FALSE, nullptr));
        if (i >= 500) words.push_back(std::to_string(reinterpret_cast<std::uintptr_t>(ours.back().get())));
    }
    Child child(loop, CommandLine(victim(), words));
    REQUIRE(child.ends());
    CHECK(child.words() == std::vector<std::string>(100, "closed"));
}

TEST_CASE("windows launch: what this system cannot do is refused", "[windows]") {
    const CommandLine command(victim(), {"argv"});
    SpawnOptions options;
    options.identity.user = "somebody";
    CHECK(failure(command, options).step == SpawnStep::identity);
    options = {};
    options.limits.open_files = 10;
    CHECK(failure(command, options).step == SpawnStep::resource_limits);
    options = {};
    options.terminal.emplace();
    CHECK(failure(command, options).code == errc::invalid_options);
}

TEST_CASE("windows launch: a user's initializer has its say", "[windows]") {
    Loop loop;
    Recorder recorder;
    BoostExtension<Recorder> extension(recorder);
    SECTION("and sees the child") {
        recorder.replaced = L"victim argv replaced";
        Child child(loop, CommandLine(victim(), {"argv"}), {}, Output::capture, Output::null, &extension);
        REQUIRE(child.ends());
        CHECK(recorder.set_up == 1);
        CHECK(recorder.succeeded == 1);
        CHECK(recorder.pid == child.tree.pid());
        CHECK(child.words() == std::vector<std::string>{"argv", "replaced"});
    }
    SECTION("and may refuse") {
        recorder.refusal = errc::preflight_failed;
        CHECK_THROWS_AS(Child(loop, CommandLine(victim(), {"argv"}), {}, Output::capture, Output::null, &extension),
                        SpawnError);
        CHECK(recorder.succeeded == 0);
        CHECK(recorder.told == errc::preflight_failed);
    }
}

TEST_CASE("windows launch: our end of a pipe is overlapped and nobody inherits it", "[windows]") {
    for (const bool we_read : {true, false}) {
        const PipeEnds ends = make_pipe(we_read);
        REQUIRE(ends.ours);
        REQUIRE(ends.theirs);
        for (const HANDLE handle : {ends.ours.get(), ends.theirs.get()}) {
            DWORD flags = HANDLE_FLAG_INHERIT;
            REQUIRE(::GetHandleInformation(handle, &flags));
            CHECK((flags & HANDLE_FLAG_INHERIT) == 0);
        }
    }
}

TEST_CASE("windows launch: nice values have a priority class each, never that of real time", "[windows]") {
    CHECK(priority_class(-20) == HIGH_PRIORITY_CLASS);
    CHECK(priority_class(-10) == ABOVE_NORMAL_PRIORITY_CLASS);
    CHECK(priority_class(0) == NORMAL_PRIORITY_CLASS);
    CHECK(priority_class(5) == BELOW_NORMAL_PRIORITY_CLASS);
    CHECK(priority_class(19) == IDLE_PRIORITY_CLASS);
}
