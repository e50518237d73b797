// SPDX-License-Identifier: MIT
// Arguments, environment and working directory arrive as they were given, or are refused before a child exists.
#include <support/start.hpp>

#include <atomic>
#include <cstdlib>
#include <thread>

using namespace support;
using warden::CommandLine;
using warden::Environment;
using warden::errc;
using warden::SpawnOptions;
using warden::SpawnStep;

namespace {

#if WARDEN_OS_WINDOWS
constexpr int last_byte = 127;  // the others are no UTF-8
const std::vector<std::string> awkward_here{};
constexpr int thousands = 5000;  // a line has room for 32'766 characters
constexpr std::size_t longest_value = 32'000;
constexpr int starters = 3;
constexpr int rounds = 3;
const std::string tool_suffix = ".cmd";
const std::string tool_begin = "@echo off\r\necho ";
const std::string line_end = "\r\n";
const std::string separator = ";";
const std::string nowhere = "C:\\nowhere";
const std::vector<std::string> paths_of_no_use{
    "", ";", ";;C:\\windows", "C:\\windows;", ".", ".;C:\\windows", ".\\", "C:\\windows;.", "C:"};
int set_variable(const char* name, const char* value) { return ::_putenv_s(name, value ? value : ""); }
#else
constexpr int last_byte = 255;
const std::vector<std::string> awkward_here{"\xff\xfe\x80", "\xed\xa0\x80"};
constexpr int thousands = 10'000;
constexpr std::size_t longest_value = 120'000;
constexpr int starters = 8;
constexpr int rounds = 5;
const std::string tool_suffix;
const std::string tool_begin = "#!/bin/sh\necho ";
const std::string line_end = "\n";
const std::string separator = ":";
const std::string nowhere = "/nowhere";
const std::vector<std::string> paths_of_no_use{
    "", ":", "::/usr/bin", "/usr/bin:", ".", ".:/usr/bin", "./", "/usr/bin:."};
int set_variable(const char* name, const char* value) { return value ? ::setenv(name, value, 1) : ::unsetenv(name); }
#endif

std::vector<std::string> awkward() {
    std::vector<std::string> words{
        "a b",   "",      "\"quoted\"", "'single'", "$HOME",       "`id`",       "back\\slash", "new\nline",
        "tab\t", "*",     "~",          "--",       "-x",          "%d%n",       "%d",          "gr\xC3\xBC\xC3\x9F",
        "é",     "a=b;c", "|",          "& &&",     "\x01\x1b[2J", "trailing\\", " lead",       "\xF0\x9F\x98\x80",
        ""};
    words.insert(words.end(), awkward_here.begin(), awkward_here.end());
    std::string bytes;
    for (int c = 1; c <= last_byte; ++c) bytes += static_cast<char>(c);
    words.push_back(bytes);
    return words;
}

std::vector<std::string> arguments_seen(TestManager& manager, const std::vector<std::string>& words) {
    std::vector<std::string> orders{"args"};
    orders.insert(orders.end(), words.begin(), words.end());
    return split(manager->run(play(std::move(orders))).out);
}

/// A variable of this program for as long as this lives.
class SetVariable {
public:
    SetVariable(const char* name, const char* value) : name_(name) { REQUIRE(set_variable(name, value) == 0); }
    SetVariable(const SetVariable&) = delete;
    ~SetVariable() { static_cast<void>(set_variable(name_, nullptr)); }

private:
    const char* name_;
};

/// The variables of these tests that a child has, sorted.
std::vector<std::string> variables_seen(TestManager& manager, const SpawnOptions& options) {
    auto seen = split(manager->run(play("env"), options).out);
    std::erase_if(seen, [](const auto& variable) { return !variable.starts_with("SEEN_"); });
    std::sort(seen.begin(), seen.end());
    return seen;
}

/// A program that says a word.
void write_tool(const std::filesystem::path& path, const std::string& word) {
    std::filesystem::create_directories(path.parent_path());
    const auto file = write_file(path.string() + tool_suffix, tool_begin + word + line_end);
    std::filesystem::permissions(file, std::filesystem::perms{0755});
}

bool is_same(const std::string& seen, const std::filesystem::path& path) {
    std::error_code unlike;
    return std::filesystem::equivalent(std::u8string(seen.begin(), seen.end()), path, unlike);
}

}  // namespace

// -- arguments --------------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("words: arguments arrive byte for byte, without a shell", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    CHECK(arguments_seen(manager, awkward()) == awkward());
}

TEMPLATE_TEST_CASE("words: thousands of arguments arrive", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::vector<std::string> words;
    for (int i = 0; i < thousands; ++i) words.push_back(std::to_string(i));
    CHECK(arguments_seen(manager, words) == words);
}

TEMPLATE_TEST_CASE("words: what cannot be said is refused before anything is started", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
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
    CHECK(refused(play("args", nul), {}) == errc::invalid_command);
    for (const auto& [key, value] :
         {std::pair<std::string, std::string>{"", "x"}, {"A=B", "x"}, {nul, "x"}, {"A", nul}, {"=", ""}}) {
        for (const auto& base : {Environment::inherit(), Environment::empty()}) {
            CHECK(refused(play("env"), with_environment(Environment(base).set(key, value))) ==
                  errc::invalid_environment);
        }
    }
    SpawnOptions directory;
    directory.working_directory = std::filesystem::path(nul);
    CHECK(refused(play("cwd"), directory) == errc::invalid_options);
    CHECK(manager->metrics().spawned_total == 0);
}

// -- environment ------------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("words: an inherited environment is the program's, with the changes", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const SetVariable kept("SEEN_KEPT", "kept");  // after the manager was made: that of the moment of the start counts
    const SetVariable changed("SEEN_CHANGED", "old");
    const SetVariable unset("SEEN_UNSET", "x");
    const auto seen = variables_seen(manager, with_environment(Environment::inherit()
                                                                   .set("SEEN_CHANGED", "1")
                                                                   .set("SEEN_CHANGED", "2")
                                                                   .unset("SEEN_UNSET")
                                                                   .set("SEEN_EMPTY", "")));
    CHECK(seen == std::vector<std::string>{"SEEN_CHANGED=2", "SEEN_EMPTY=", "SEEN_KEPT=kept"});
}

TEMPLATE_TEST_CASE("words: values arrive verbatim, also awkward and long ones", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::vector<std::string> values = awkward();
    values.insert(values.end(), {"100%", "%PATH%", std::string(490, 'l'), std::string(longest_value, 'L')});
    for (Environment environment : {Environment::inherit(), Environment::empty()}) {
        std::vector<std::string> expected;
        for (std::size_t i = 0; i < values.size(); ++i) {
            const std::string key = "SEEN_" + std::to_string(100 + i);
            environment.set(key, values[i]);
            expected.push_back(key + '=' + values[i]);
        }
        CHECK((variables_seen(manager, with_environment(environment)) == expected));
    }
}

// -- where programs are found -----------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("words: a program is looked up in the PATH of the child", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    write_tool(manager.directory / "one/warden-test-word", "one");
    write_tool(manager.directory / "two/warden-test-word", "two");
    const std::string one = (manager.directory / "one").string();
    const std::string two = (manager.directory / "two").string();
    const auto said = [&](const std::string& program, const std::string& path) {
        return manager->run({program}, with_environment(Environment::inherit().set("PATH", path))).out;
    };
    CHECK(said("warden-test-word", one + separator + two) == "one" + line_end);
    CHECK(said("warden-test-word" + tool_suffix, nowhere + separator + two + separator + one) == "two" + line_end);
    CHECK(failed_start(*manager, {"warden-test-word"}).code() == no_such_file);
}

TEMPLATE_TEST_CASE("words: a relative program is relative to the working directory of the child", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    write_tool(manager.directory / "work/bin/tool", "tool");
    SpawnOptions options;
    options.working_directory = manager.directory / "work";
    for (const std::string& program :
         {std::string("./bin/tool"), std::string("bin/tool"),
          (std::filesystem::path("bin") / ("tool" + tool_suffix)).make_preferred().string()}) {
        INFO(program);
        CHECK(manager->run({program}, options).out == "tool" + line_end);
    }
    CHECK(failed_start(*manager, {"./bin/tool"}).code() == boost::system::errc::no_such_file_or_directory);
}

TEMPLATE_TEST_CASE("words: empty and relative elements of PATH never lead to the working directory", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    write_tool(manager.directory / "warden-test-trap", "trap");
    const KeptDirectory kept;
    std::filesystem::current_path(manager.directory.path());
    for (const auto& path : paths_of_no_use) {
        SpawnOptions options = with_environment(Environment::inherit().set("PATH", path));
        options.working_directory = manager.directory.path();
        INFO("PATH is '" << path << "'");
        CHECK(failed_start(*manager, {"warden-test-trap"}, options).code() == no_such_file);
    }
}

TEMPLATE_TEST_CASE("words: the working directory is the one asked for, else the program's at the moment of the start",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto here = manager.directory / "here";
    std::filesystem::create_directories(here / "below");
    const auto seen = [&](const std::filesystem::path& directory) {
        return manager->run(play("cwd"), {.working_directory = directory}).out;
    };
    const KeptDirectory kept;
    std::filesystem::current_path(here);
    CHECK(is_same(seen({}), here));
    CHECK(is_same(seen("below"), here / "below"));
    CHECK(is_same(seen(manager.directory.path()), manager.directory.path()));
}

// -- what else a child is born with -----------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("words: a nice value that is out of range is refused", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    for (const int nice : {-21, 20}) {
        SpawnOptions options;
        options.identity.nice = nice;
        CHECK(failed_start(*manager, play("exit", "0"), options).code() == errc::invalid_options);
    }
}

TEMPLATE_TEST_CASE("words: threads that change directory and environment disturb no start that says what it wants",
                   "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const KeptDirectory kept;
    const auto there = manager.directory / "there";
    const std::filesystem::path others[] = {manager.directory.path(), manager.directory / "other"};
    for (const auto& directory : {there, others[1]}) std::filesystem::create_directories(directory);
    std::atomic<bool> done = false;
    std::thread restless([&] {
        for (std::size_t i = 0; !done; ++i) {
            std::error_code ignored;
            std::filesystem::current_path(others[i % 2], ignored);
            static_cast<void>(set_variable("SEEN_RESTLESS", std::string(i % 500 + 1, 'r').c_str()));
            static_cast<void>(set_variable("SEEN_RESTLESS", nullptr));
        }
    });
    std::vector<std::thread> threads;
    std::atomic<int> good = 0;
    for (int t = 0; t < starters; ++t) {
        threads.emplace_back([&, t] {
            const std::string name = std::to_string(t);
            SpawnOptions options = with_environment(Environment::empty().set("SEEN_T", name));
            options.working_directory = there;
            for (int i = 0; i < rounds; ++i) {
                good += variables_seen(manager, options) == std::vector<std::string>{"SEEN_T=" + name};
                good += is_same(manager->run(play("cwd"), options).out, there);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    done = true;
    restless.join();
    CHECK(good == starters * rounds * 2);
}
