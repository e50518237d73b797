// SPDX-License-Identifier: MIT
// Arguments, environment, working directory and what else a child is born with arrive as they were given, or are
// refused before a child exists.
#include <atomic>
#include <thread>

#include <windows/scenario_start.hpp>

using namespace support;
using warden::CommandLine;
using warden::Environment;
using warden::errc;
using warden::SpawnOptions;
using warden::SpawnStep;

namespace {

const std::vector<std::string> awkward{
    "a b",         "",           "\"quoted\"",  "'single'",
    "$HOME",       "`id`",       "back\\slash", "tab\t",
    "*",           "~",          "--",          "-x",
    "%d",          "a=b;c",      "|",           "& &&",
    "\x01\x1b[2J", "trailing\\", " lead",       "gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80"};

CommandLine victim_with(const std::string& verb, const std::vector<std::string>& words) {
    std::vector<std::string> all{"--lines", verb};
    all.insert(all.end(), words.begin(), words.end());
    return CommandLine(beside("windows_victim.exe"), all);
}

/// What `argv` says after its own name.
std::vector<std::string> arguments_seen(TestManager& manager, const std::vector<std::string>& words) {
    auto seen = lines_of(manager->run(victim_with("argv", words)).out);
    if (!seen.empty()) seen.erase(seen.begin());
    return seen;
}

SpawnOptions with_environment(Environment environment) {
    SpawnOptions options;
    options.environment = std::move(environment);
    return options;
}

bool has(const std::vector<std::string>& all, const std::string& wanted) {
    return std::find(all.begin(), all.end(), wanted) != all.end();
}

/// A program that says a word.
void write_tool(const std::filesystem::path& path, const std::string& word) {
    std::filesystem::create_directories(path.parent_path());
    write_file(path, "@echo off\r\necho " + word + "\r\n");
}

/// The current directory, put back at the end.
struct KeptDirectory {
    const std::filesystem::path before = std::filesystem::current_path();
    ~KeptDirectory() { std::filesystem::current_path(before); }
};

bool is_same(const std::string& line, const std::filesystem::path& path) {
    std::error_code unlike;
    return std::filesystem::equivalent(line.substr(0, line.find_first_of("\r\n")), path, unlike);
}

}  // namespace

// -- arguments --------------------------------------------------------------------------------------------------------

TEST_CASE("scenario: thousands of arguments arrive, and awkward ones as they were given", "[scenario]") {
    TestManager manager;
    CHECK(arguments_seen(manager, awkward) == awkward);
    std::vector<std::string> many;
    for (int i = 0; i < 5000; ++i) many.push_back(std::to_string(i));
    CHECK(arguments_seen(manager, many) == many);
}

TEST_CASE("scenario: what cannot be said is refused before anything is started", "[scenario]") {
    TestManager manager;
    const std::string nul("a\0b", 3);
    const auto refused = [&](const CommandLine& command, const SpawnOptions& options) {
        const auto error = failed_start(*manager, command, options);
        INFO(error.what());
        CHECK(error.step() == SpawnStep::validation);
        return error.code();
    };
    CHECK(refused({}, {}) == errc::invalid_command);
    CHECK(refused({""}, {}) == errc::invalid_command);
    CHECK(refused(CommandLine("", {"argument"}), {}) == errc::invalid_command);
    CHECK(refused({nul}, {}) == errc::invalid_command);
    CHECK(refused(victim("argv", nul), {}) == errc::invalid_command);
    for (const auto& [key, value] :
         {std::pair<std::string, std::string>{"", "x"}, {"A=B", "x"}, {nul, "x"}, {"A", nul}, {"=", ""}}) {
        CHECK(refused(victim("env"), with_environment(Environment::inherit().set(key, value))) ==
              errc::invalid_environment);
        CHECK(refused(victim("env"), with_environment(Environment::empty().set(key, value))) ==
              errc::invalid_environment);
    }
    SpawnOptions directory;
    directory.working_directory = std::filesystem::path(nul);
    CHECK(refused(victim("cwd"), directory) == errc::invalid_command);

    const std::string no_utf8 = "a\xFF";
    const auto untranslatable = windows_code(ERROR_NO_UNICODE_TRANSLATION);
    CHECK(refused({no_utf8}, {}) == untranslatable);
    CHECK(refused(victim("argv", no_utf8), {}) == untranslatable);
    CHECK(refused(victim("env"), with_environment(Environment::inherit().set("A", no_utf8))) == untranslatable);
    CHECK(refused(victim("env"), with_environment(Environment::inherit().set(no_utf8, "x"))) == untranslatable);
    CHECK(manager->metrics().spawned_total == 0);
}

TEST_CASE("scenario: a line that is too long is refused, and one that is just short enough arrives whole",
          "[scenario]") {
    TestManager manager;
    constexpr std::size_t longest = 32'766;  // of CreateProcessW, without the final NUL
    const std::size_t others = beside("windows_victim.exe").size() + 2 + std::string(" --lines argv ").size();
    const std::string fits(longest - others, 'x');
    CHECK(arguments_seen(manager, {fits}) == std::vector<std::string>{fits});
    for (const auto& words :
         {std::vector<std::string>{fits + 'x'}, std::vector<std::string>(200, std::string(1000, 'y'))}) {
        const auto error = failed_start(*manager, victim_with("argv", words));
        CHECK(error.step() == SpawnStep::validation);
        CHECK(error.code() == windows_code(ERROR_FILENAME_EXCED_RANGE));
        CHECK(names(error, "32766"));
    }
}

// -- environment ------------------------------------------------------------------------------------------------------

TEST_CASE("scenario: an inherited environment is the program's, with the changes", "[scenario]") {
    TestManager manager;
    for (const wchar_t* name : {L"WARDEN_TEST_KEPT", L"WARDEN_TEST_CHANGED", L"WARDEN_TEST_UNSET"})
        ::SetEnvironmentVariableW(name, L"old");  // after the manager was made: that of the moment of the start counts
    const auto seen = lines_of(manager
                                   ->run(victim("env"), with_environment(Environment::inherit()
                                                                             .set("WARDEN_TEST_CHANGED", "1")
                                                                             .set("WARDEN_TEST_CHANGED", "2")
                                                                             .unset("WARDEN_TEST_UNSET")
                                                                             .set("WARDEN_TEST_EMPTY", "")))
                                   .out);
    for (const wchar_t* name : {L"WARDEN_TEST_KEPT", L"WARDEN_TEST_CHANGED", L"WARDEN_TEST_UNSET"})
        ::SetEnvironmentVariableW(name, nullptr);
    CHECK(has(seen, "WARDEN_TEST_KEPT=old"));
    CHECK(has(seen, "WARDEN_TEST_CHANGED=2"));
    CHECK(has(seen, "WARDEN_TEST_EMPTY="));
    CHECK(std::count_if(seen.begin(), seen.end(), [](const auto& line) { return line.starts_with("WARDEN_TEST_"); }) ==
          3);
}

TEST_CASE("scenario: values arrive verbatim, also awkward and long ones", "[scenario]") {
    TestManager manager;
    std::vector<std::string> values = awkward;
    values.insert(values.end(), {"100%", "%PATH%", std::string(490, 'l'), std::string(32'000, 'L')});
    Environment environment = Environment::inherit();
    std::vector<std::string> expected;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const std::string key = "WARDEN_TEST_" + std::to_string(100 + i);
        environment.set(key, values[i]);
        expected.push_back(key + '=' + values[i]);
    }
    auto seen = lines_of(manager->run(victim("env"), with_environment(environment)).out);
    std::erase_if(seen, [](const auto& line) { return !line.starts_with("WARDEN_TEST_"); });
    CHECK((seen == expected));
}

// -- where programs are found -----------------------------------------------------------------------------------------

TEST_CASE("scenario: a program is looked up in the PATH of the child", "[scenario]") {
    TestManager manager;
    write_tool(manager.directory / "one/warden-test-word.cmd", "one");
    write_tool(manager.directory / "two/warden-test-word.cmd", "two");
    const auto path = [&](const std::string& text) {
        return with_environment(Environment::inherit().set("PATH", text));
    };
    const std::string one = (manager.directory / "one").string();
    const std::string two = (manager.directory / "two").string();
    CHECK(manager->run({"warden-test-word"}, path(one + ';' + two)).out == "one\r\n");
    CHECK(manager->run({"warden-test-word.cmd"}, path("C:\\nowhere;" + two + ';' + one)).out == "two\r\n");
    CHECK(failed_start(*manager, {"warden-test-word"}).code() == windows_code(ERROR_FILE_NOT_FOUND));
}

TEST_CASE("scenario: a relative program is relative to the working directory of the child", "[scenario]") {
    TestManager manager;
    write_tool(manager.directory / "work/bin/tool.cmd", "tool");
    SpawnOptions options;
    options.working_directory = manager.directory / "work";
    CHECK(manager->run({"./bin/tool"}, options).out == "tool\r\n");
    CHECK(manager->run({"bin\\tool.cmd"}, options).out == "tool\r\n");
    CHECK(failed_start(*manager, {"./bin/tool"}).code() == boost::system::errc::no_such_file_or_directory);
}

TEST_CASE("scenario: empty and relative elements of PATH never lead to a current directory", "[scenario]") {
    TestManager manager;
    write_tool(manager.directory / "warden-test-trap.cmd", "trap");
    const KeptDirectory kept;
    std::filesystem::current_path(manager.directory.path());
    for (const char* path :
         {"", ";", ";;C:\\windows", "C:\\windows;", ".", ".;C:\\windows", ".\\", "C:\\windows;.", "C:"}) {
        SpawnOptions options = with_environment(Environment::inherit().set("PATH", path));
        options.working_directory = manager.directory.path();
        INFO("PATH is '" << path << "'");
        CHECK(failed_start(*manager, {"warden-test-trap"}, options).code() == windows_code(ERROR_FILE_NOT_FOUND));
    }
}

TEST_CASE("scenario: the working directory is the one asked for, else the program's at the moment of the start",
          "[scenario]") {
    TestManager manager;
    const auto here = manager.directory / "here";
    std::filesystem::create_directories(here / "below");
    const auto seen = [&](const std::filesystem::path& directory) {
        return manager->run(victim("cwd"), {.working_directory = directory}).out;
    };
    const KeptDirectory kept;
    std::filesystem::current_path(here);
    CHECK(is_same(seen({}), here));
    CHECK(is_same(seen("below"), here / "below"));
    CHECK(is_same(seen(manager.directory.path()), manager.directory.path()));
}

// -- what else a child is born with -----------------------------------------------------------------------------------

TEST_CASE("scenario: a nice value becomes the priority that is nearest", "[scenario]") {
    SKIP_UNLESS(!is_wine(), "Wine 8 starts every process with the same priority");
    TestManager manager;
    SpawnOptions options;
    for (const auto& [nice, priority] : {std::pair<int, DWORD>{19, IDLE_PRIORITY_CLASS},
                                         {7, BELOW_NORMAL_PRIORITY_CLASS},
                                         {0, NORMAL_PRIORITY_CLASS},
                                         {-5, ABOVE_NORMAL_PRIORITY_CLASS},
                                         {-20, HIGH_PRIORITY_CLASS}}) {
        options.identity.nice = nice;
        CHECK(manager->run(victim("priority"), options).out == std::to_string(priority) + '\n');
    }
}

TEST_CASE("scenario: a nice value that is out of range is refused", "[scenario]") {
    TestManager manager;
    for (const int nice : {-21, 20}) {
        SpawnOptions options;
        options.identity.nice = nice;
        CHECK(failed_start(*manager, victim("exit", "0"), options).code() == errc::invalid_options);
    }
}

TEST_CASE("scenario: limits that were asked for are exact", "[scenario]") {
    SKIP_UNLESS(!is_wine(), "Wine 8 does not tell a process the limits of its job");
    TestManager manager;
    SpawnOptions options;
    options.limits.memory_bytes = std::uint64_t{256} << 20;
    options.limits.processes = 7;
    options.limits.cpu_time = std::chrono::milliseconds(1500);
    const auto seen = lines_of(manager->run(victim("job-limits"), options).out);
    CHECK(seen == std::vector<std::string>{std::to_string(256 << 20), "7", "15000000"});
}

TEST_CASE("scenario: threads that change directory and environment disturb no start that says what it wants",
          "[scenario]") {
    TestManager manager;
    const KeptDirectory kept;
    std::filesystem::create_directories(manager.directory / "there");
    std::atomic<bool> done = false;
    std::thread restless([&] {
        for (int i = 0; !done; ++i) {
            ::SetCurrentDirectoryW(i % 2 == 0 ? L"C:\\" : L"C:\\windows");
            ::SetEnvironmentVariableW(L"WARDEN_TEST_RESTLESS",
                                      std::wstring(static_cast<std::size_t>(i % 500), L'r').c_str());
            ::SetEnvironmentVariableW(L"WARDEN_TEST_RESTLESS", nullptr);
        }
    });
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            const std::string name = std::to_string(t);
            SpawnOptions options = with_environment(Environment::empty().set("T", name));
            options.working_directory = manager.directory / "there";
            for (int i = 0; i < 3; ++i) {
                const auto seen = lines_of(manager->run(victim("env"), options).out);
                good += has(seen, "T=" + name);
                good += std::none_of(seen.begin(), seen.end(),
                                     [](const auto& line) { return line.starts_with("WARDEN_TEST_RESTLESS"); });
                good += is_same(manager->run(victim("cwd"), options).out, manager.directory / "there");
            }
        });
    }
    for (auto& thread : threads) thread.join();
    done = true;
    restless.join();
    CHECK(good == 3 * 9);
}
