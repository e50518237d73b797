// SPDX-License-Identifier: MIT
// wardenctl.exe as people use it: a real program that is given arguments and input, and is judged by its output, its
// exit code and what it leaves.
#include <windows/scenario_start.hpp>

using namespace support;
using namespace std::chrono_literals;
using warden::CommandLine;
using warden::Output;
using warden::SpawnOptions;

#define SKIP_WITHOUT_WARDENCTL() \
    SKIP_UNLESS(std::filesystem::exists(WARDENCTL), "wardenctl is not built: it needs CLI11")

namespace {

/// The tool, with a data directory of its own.
class Tool {
public:
    [[nodiscard]] static CommandLine command(std::vector<std::string> words) {
        return CommandLine(WARDENCTL, std::move(words));
    }
    /// `wardenctl run OPTIONS -- victim --lines WORDS`.
    [[nodiscard]] static CommandLine running(std::vector<std::string> options, const std::vector<std::string>& words) {
        options.insert(options.begin(), "run");
        options.insert(options.end(), {"--", beside("windows_victim.exe"), "--lines"});
        options.insert(options.end(), words.begin(), words.end());
        return command(std::move(options));
    }
    [[nodiscard]] SpawnOptions options() const {
        SpawnOptions options;
        options.environment.set("WARDEN_DATA_DIRECTORY", (manager.directory / "tool").string());
        options.stdin_ = warden::Input::pipe;
        options.stdout_ = Output::capture;
        options.stderr_ = Output::capture;
        options.stop_plan = warden::StopPlan::now();
        return options;
    }
    [[nodiscard]] warden::CompletedProcess run(const CommandLine& command, std::string_view input = {}) {
        return manager->run(command, options(), input);
    }
    /// What `wardenctl logs WORDS` shows.
    [[nodiscard]] std::string shown(std::vector<std::string> words) {
        words.insert(words.begin(), "logs");
        const auto result = run(command(std::move(words)));
        CHECK(result.err == "");
        CHECK(result.success());
        return result.out;
    }

    TestManager manager;
};

/// An initializer: the program gets a desktop on which nobody has been.
struct OnNewDesktop {
    OnNewDesktop() : desktop(::CreateDesktopW(name.c_str(), nullptr, nullptr, 0, GENERIC_ALL, nullptr)) {}
    OnNewDesktop(const OnNewDesktop&) = delete;
    ~OnNewDesktop() { ::CloseDesktop(desktop); }
    template <class Launcher, class Path>
    warden::error_code on_setup(Launcher& launcher, const Path&, const std::wstring&) {
        launcher.startup_info.StartupInfo.lpDesktop = name.data();
        return {};
    }
    std::wstring name = L"warden-test-" + std::to_wstring(::GetCurrentProcessId());
    HDESK desktop;
};

std::string counted(int first, int last) {
    std::string text;
    for (int i = first; i <= last; ++i) text += "line " + std::to_string(i) + '\n';
    return text;
}

/// The text of a member of a JSON object, of which one is called so.
std::string member(std::string_view json, const std::string& name) {
    const std::string key = '"' + name + "\":\"";
    const auto at = json.find(key);
    if (at == json.npos) return {};
    json.remove_prefix(at + key.size());
    return std::string(json.substr(0, json.find('"')));
}

}  // namespace

// -- run --------------------------------------------------------------------------------------------------------------

TEST_CASE("scenario: wardenctl gives the command its arguments as they are", "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    const std::vector<std::string> words{"a b",
                                         "",
                                         "\"q\"",
                                         "back\\",
                                         "%PATH%",
                                         "& | >",
                                         "--name",
                                         "-v",
                                         "*",
                                         "--timeout",
                                         "--",
                                         "'",
                                         "gr\xC3\xBC\xC3\x9F"};
    std::vector<std::string> all{"argv"};
    all.insert(all.end(), words.begin(), words.end());
    const auto said = tool.run(Tool::running({}, all));
    CHECK(said.err == "");
    CHECK(lines_of(said.out) == all);
    // without the first `--`, the next belongs to the command
    CHECK(tool.run(Tool::command({"run", beside("windows_victim.exe"), "--lines", "argv", "-v", "--", "b"})).out ==
          "argv\n-v\n--\nb\n");
}

TEST_CASE("scenario: wardenctl ends with the exit code of the command, also with that of a crash",
          "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    for (const char* code : {"0", "3", "124", "255", "259", "0x7FFFFFFF", "0xFFFFFFFF"}) {
        INFO(code);
        CHECK(tool.run(Tool::running({}, {"exit", code})).status ==
              warden::ExitStatus::from_code(std::stoll(code, nullptr, 0)));
    }
    CHECK(static_cast<std::uint32_t>(tool.run(Tool::running({}, {"crash"})).status.code()) == 0xC0000005u);
    CHECK(tool.run(Tool::running({"--timeout", "50ms", "--grace", "50ms"}, {"sleep-forever"})).status.code() == 124);
}

TEST_CASE("scenario: wardenctl passes input on, and keeps both outputs apart", "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    const std::string text = counted(1, 20'000);
    const auto echoed = tool.run(Tool::running({}, {"stdin-to-stdout"}), text);
    CHECK((echoed.out == text));
    CHECK(echoed.success());
    const auto both = tool.run(Tool::running({}, {"both"}));
    CHECK(both.out == "out");
    CHECK(both.err == "err");
    const auto quiet = tool.run(Tool::running({"--quiet"}, {"both"}));
    CHECK(quiet.out + quiet.err == "");
    // one within another
    const auto nested = tool.run(
        Tool::command({"run", "--", WARDENCTL, "run", "--", beside("windows_victim.exe"), "count-lines", "20000"}));
    CHECK((nested.out == text));
    CHECK(nested.success());
}

TEST_CASE("scenario: wardenctl sets variables and the directory", "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    const auto seen =
        lines_of(tool.run(Tool::running({"--env", "WARDEN_TEST_A=1=2", "--env", "WARDEN_TEST_B="}, {"env"})).out);
    CHECK(std::count(seen.begin(), seen.end(), "WARDEN_TEST_A=1=2") == 1);
    CHECK(std::count(seen.begin(), seen.end(), "WARDEN_TEST_B=") == 1);
    const auto place = tool.manager.directory.path();
    const auto where = lines_of(tool.run(Tool::running({"--cwd", place.string()}, {"cwd"})).out);
    REQUIRE(where.size() == 1);
    CHECK(std::filesystem::equivalent(where[0], place));
}

TEST_CASE("scenario: wardenctl tells on stderr why nothing was run, with an exit code for each reason",
          "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    const auto refused = [&](const CommandLine& command, int code, std::string_view words) {
        const auto done = tool.run(command);
        INFO(done.err);
        CHECK(done.status.code() == code);
        CHECK(done.out == "");
        CHECK(contains(done.err, "wardenctl: "));
        CHECK(contains(done.err, words));
    };
    const std::string text = write_file(tool.manager.directory / "text.exe", "no program").string();
    refused(Tool::command({"run", "--", text}), 126, "no program of this system");
    refused(Tool::command({"run", "--", "no-such-program"}), 127, "in no directory of PATH");
    refused(Tool::command({"run", "--", "C:\\no\\such.exe"}), 127, "cannot start");
    refused(Tool::running({"--cwd", "C:\\no\\such"}, {"cwd"}), 125, "working directory");
    refused(Tool::running({"--no-such-option"}, {"cwd"}), 125, "--no-such-option");
    refused(Tool::running({"--env", "X"}, {"cwd"}), 125, "'X' has no '='");
    refused(Tool::command({"run"}), 125, "a command");
    refused(Tool::command({"ran"}), 125, "there is no verb 'ran'");
    refused(Tool::command({}), 125, "verb");
}

TEST_CASE("scenario: wardenctl shows help on stdout, of itself and of each verb", "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    const auto shown = [&](std::vector<std::string> words, std::initializer_list<const char*> parts) {
        const auto done = tool.run(Tool::command(std::move(words)));
        CHECK(done.success());
        CHECK(done.err == "");
        INFO(done.out);
        for (const char* part : parts) CHECK(contains(done.out, part));
    };
    shown({"--help"}, {"run", "logs", "--version"});
    shown({"run", "--help"}, {"Usage: wardenctl run [OPTIONS] [--] COMMAND [ARGUMENTS...]", "--timeout DURATION",
                              "--cwd DIRECTORY", "127 it was not found"});
    shown({"logs", "--help"}, {"Usage: wardenctl logs [OPTIONS] NAME|UUID|PATH", "--follow", "--lines N"});
}

TEST_CASE("scenario: wardenctl says on request who runs, where the log is, and how it ended", "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    const auto done = tool.run(Tool::running({"-v", "--json", "--name", "job", "--type", "kind"}, {"both"}));
    CHECK(done.out == "out");
    INFO(done.err);
    CHECK(contains(done.err, "wardenctl: uuid " + member(done.err, "uuid") + ", pid "));
    CHECK(contains(done.err, ", job_object"));
    CHECK(contains(done.err, "wardenctl: exited with code 0, exited, after "));
    CHECK(member(done.err, "name") == "job");
    CHECK(member(done.err, "type") == "kind");
    CHECK(member(done.err, "cause") == "exited");
    const auto places = lines_of(done.err);
    const auto log = std::find_if(places.begin(), places.end(),
                                  [](const auto& line) { return line.starts_with("wardenctl: log "); });
    REQUIRE(log != places.end());
    const std::filesystem::path path(log->substr(std::string_view("wardenctl: log ").size()));
    CHECK(path.parent_path().filename() == "kind");
    CHECK(std::filesystem::exists(path));
}

TEST_CASE("scenario: what a command leaves running ends with wardenctl", "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    auto process = tool.manager->spawn(Tool::running({"--grace", "200ms"}, {"spawn-child-and-exit"}), tool.options());
    const auto line = next_line(process);
    REQUIRE(line);
    const HeldProcess left(std::stoi(*line));
    CHECK(process.wait().success());
    CHECK(left.ends_within(20s));
    CHECK(eventually([&] { return !process.tree_alive(); }));
}

TEST_CASE("scenario: a wardenctl that asks its command to end starts nobody who outlives it", "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    OnNewDesktop apart;
    REQUIRE(apart.desktop != nullptr);
    const auto command = Tool::running({"--timeout", "50ms", "--grace", "50ms"}, {"sleep-forever"});
    auto process = tool.manager->spawn(command, tool.options(), apart);
    CHECK(process.wait().code() == 124);
    CHECK(eventually([&] { return !process.tree_alive(); }));
}

TEST_CASE("scenario: a wardenctl that is ended by force leaves nothing", "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    auto options = tool.options();
    options.stderr_ = Output::merge;
    auto process = tool.manager->spawn(Tool::running({"-v"}, {"sleep-forever"}), options);
    const auto told = next_line(process);
    REQUIRE(told);
    const auto at = told->find(", pid ");
    REQUIRE(at != told->npos);
    const HeldProcess child(std::stoi(told->substr(at + 6)));
    REQUIRE(child.is_held());
    CHECK_FALSE(child.has_ended());
    const HANDLE itself = ::OpenProcess(PROCESS_TERMINATE, FALSE, static_cast<DWORD>(process.pid()));
    REQUIRE(itself != nullptr);
    ::TerminateProcess(itself, 6);  // it alone: not its tree
    ::CloseHandle(itself);
    CHECK(process.wait().code() == 6);
    CHECK(child.ends_within(20s));
}

// -- logs -------------------------------------------------------------------------------------------------------------

TEST_CASE("scenario: wardenctl finds the log of a run that ended, by uuid, its beginning and path",
          "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    const auto done = tool.run(Tool::running({"--quiet", "--json"}, {"count-lines", "20"}));
    INFO(done.out << done.err);
    CHECK(done.success());
    const std::string uuid = member(done.out, "uuid");
    REQUIRE(uuid.size() == 36);
    CHECK(tool.shown({uuid}) == counted(11, 20));
    CHECK(tool.shown({"-n", "3", uuid}) == counted(18, 20));
    CHECK(tool.shown({"--lines", "100", uuid.substr(0, 8)}) == counted(1, 20));
    CHECK(tool.shown({"--json", "-n", "1", uuid}) == "{\"text\":\"line 20\"}\n");
    int files = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(tool.manager.directory / "tool")) {
        if (!contains(entry.path().filename().string(), uuid)) continue;
        ++files;
        CHECK(tool.shown({"-n", "1", entry.path().string()}) == counted(20, 20));
    }
    CHECK(files == 1);
}

TEST_CASE("scenario: wardenctl finds the newest log of a name", "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    SKIP_UNLESS(!is_wine(), "Wine 8 has no streams of files, which say whose log it is");
    Tool tool;
    for (const char* lines : {"20", "2"})
        CHECK(tool.run(Tool::running({"--quiet", "--name", "counter"}, {"count-lines", lines})).success());
    CHECK(tool.shown({"counter"}) == counted(1, 2));
}

TEST_CASE("scenario: wardenctl follows a log while it is written", "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    auto options = tool.options();
    options.stderr_ = Output::merge;
    auto writer = tool.manager->spawn(Tool::running({"-v"}, {"stdin-to-stdout"}), options);
    const auto told = next_line(writer);
    REQUIRE(told);
    REQUIRE(told->starts_with("wardenctl: uuid "));
    const std::string uuid = told->substr(std::string_view("wardenctl: uuid ").size(), 36);
    auto reader = tool.manager->spawn(Tool::command({"logs", "-f", uuid}), tool.options());
    writer.write("one\n");
    CHECK(next_line(reader) == "one");
    writer.write("two\n");
    CHECK(next_line(reader) == "two");
    writer.close_stdin();
    CHECK(writer.wait().success());
    CHECK(reader.running());  // until somebody ends it
    reader.kill();
}

TEST_CASE("scenario: wardenctl that follows a log ends when its reader does", "[scenario][wardenctl]") {
    SKIP_WITHOUT_WARDENCTL();
    Tool tool;
    const auto told = tool.run(Tool::running({"--quiet", "--json"}, {"count-lines", "20"}));
    auto options = tool.options();
    options.stdin_ = warden::Input::null;
    const auto done = tool.manager->pipeline(
        {Tool::command({"logs", "-f", "-n", "5", member(told.out, "uuid")}), victim("head", "2")}, options);
    INFO(done.stages[0].err);
    CHECK(done.out() == counted(16, 17));
    CHECK(done.stages[0].status.code() == 141);  // as shells tell of it
    CHECK(done.stages[1].success());
}
