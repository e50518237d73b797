// SPDX-License-Identifier: MIT
// Command lines, environments, and the search for a program, on Windows.

#include "stage.hpp"
#include <support/catch.hpp>

#include <fstream>
#include <random>

#include <shellapi.h>

using namespace stage;

namespace {

/// What the parser of the system makes of a line.
std::vector<std::wstring> parsed(const std::wstring& line) {
    int count = 0;
    wchar_t** const words = ::CommandLineToArgvW(line.c_str(), &count);
    std::vector<std::wstring> result(words, words + count);
    ::LocalFree(words);
    return result;
}

const std::vector<std::string> hostile{
    "",
    " ",
    "\t",
    "plain",
    "two words",
    "\"",
    "\"\"",
    "a\"b",
    "\\",
    "\\\\",
    "ends in a backslash\\",
    "ends in two\\\\",
    "\\\"",
    "\\\\\"",
    "a\\\\\\\"b c",
    "line\nfeed",
    "carriage\rreturn",
    "vertical\vtab",
    "C:\\Program Files\\x\\",
    "%PATH%",
    "^&|<>()!",
    "'single'",
    "*.cpp",
    "--flag=\"quoted value\"",
    "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80",
};

}  // namespace

TEST_CASE("windows command line: the system's parser gives back every hostile argument", "[windows]") {
    error_code ec;
    const std::wstring line = program_line(CommandLine("C:\\a b\\program.exe", hostile), ec);
    REQUIRE(!ec);
    const auto words = parsed(line);
    REQUIRE(words.size() == hostile.size() + 1);
    CHECK(words[0] == L"C:\\a b\\program.exe");
    for (std::size_t i = 0; i < hostile.size(); ++i) CHECK(to_utf8(words[i + 1], ec) == hostile[i]);
}

TEST_CASE("windows command line: random strings of what is special survive the system's parser", "[windows]") {
    std::mt19937 random(7);
    const std::string special = "\\\\\\\"\" \tab^%";
    for (int round = 0; round < 2000; ++round) {
        std::vector<std::string> arguments(1 + random() % 4);
        for (auto& argument : arguments) {
            argument.resize(random() % 9);
            for (char& c : argument) c = special[random() % special.size()];
        }
        error_code ec;
        const auto words = parsed(program_line(CommandLine("x", arguments), ec));
        REQUIRE(words.size() == arguments.size() + 1);
        for (std::size_t i = 0; i < arguments.size(); ++i) REQUIRE(to_utf8(words[i + 1], ec) == arguments[i]);
    }
}

TEST_CASE("windows command line: a child gets every hostile argument as it was given", "[windows]") {
    Loop loop;
    std::vector<std::string> arguments{"argv"};
    arguments.insert(arguments.end(), hostile.begin(), hostile.end());
    Child child(loop, CommandLine(victim(), arguments));
    REQUIRE(child.ends());
    CHECK(child.words() == arguments);
}

TEST_CASE("windows command line: what is too long, not UTF-8, or a quote in the program's name is refused",
          "[windows]") {
    error_code ec;
    CHECK(program_line(CommandLine("x", {std::string(32'762, 'a')}), ec).size() == max_command_line);
    CHECK(!ec);
    static_cast<void>(program_line(CommandLine("x", {std::string(32'763, 'a')}), ec));
    CHECK(ec == system_code(ERROR_FILENAME_EXCED_RANGE));
    static_cast<void>(program_line(CommandLine("x", {"\xFF\xFE"}), ec));
    CHECK(ec == system_code(ERROR_NO_UNICODE_TRANSLATION));
    static_cast<void>(program_line(CommandLine("a\"b", {}), ec));
    CHECK(ec == errc::invalid_command);
}

TEST_CASE("windows command line: a batch file is given no argument that cmd.exe would read differently", "[windows]") {
    error_code ec;
    for (const char* bad : {"\"", "%PATH%", "!x!", "a^b", "a&calc", "a|b", "<a", ">a", "(a", "a)", "a\rb", "a\nb"}) {
        INFO(bad);
        static_cast<void>(batch_line(L"C:\\cmd.exe", L"C:\\x.bat", CommandLine("x.bat", {"good", bad}), ec));
        CHECK(ec == errc::invalid_command);
    }
    const auto line = batch_line(L"C:\\cmd.exe", L"C:\\a b\\x.bat", CommandLine("x.bat", {"two words", "", "a;b"}), ec);
    CHECK(!ec);
    CHECK(line == L"\"C:\\cmd.exe\" /d /e:on /v:off /s /c \"\"C:\\a b\\x.bat\" \"two words\" \"\" \"a;b\"\"");
}

TEST_CASE("windows command line: a batch file runs and sees its arguments", "[windows]") {
    Loop loop;
    const Directory directory;
    std::ofstream(directory.path / "say it.bat") << "@echo off\r\necho [%~1] [%~2]\r\nexit /b 5\r\n";
    Child child(loop, CommandLine(to_readable((directory.path / "say it").native()), {"one two", "three"}));
    REQUIRE(child.ends());
    CHECK(child.end->status.code() == 5);
    CHECK(child.said == "[one two] [three]\r\n");
}

TEST_CASE("windows command line: a trailing dot or space does not hide that a file is a batch file", "[windows]") {
    const Directory directory;
    std::ofstream(directory.path / "x.bat") << "@echo off\r\n";
    for (const char* name : {"x.bat", "x.BAT", "x.bat.", "x.bat ", "x.bat. ."}) {
        INFO(name);
        const std::string path = to_readable(directory.path.native()) + '\\' + name;
        error_code ec;
        const auto found = find_program(to_utf16(path, ec), {}, {});
        if (!found.error) CHECK(is_batch_file(found.path.native()));
    }
}

TEST_CASE("windows command line: the text of a shell command reaches cmd.exe with its quotes", "[windows]") {
    Loop loop;
    Child child(loop, CommandLine::shell("echo \"a b\" & echo c"));
    REQUIRE(child.ends());
    CHECK(child.said == "\"a b\" \r\nc\r\n");
}

TEST_CASE("windows program search: PATH of the child is searched, the current directory never", "[windows]") {
    const Directory here;
    const Directory there;
    std::ofstream(here.path / "tool.exe") << "x";
    std::ofstream(there.path / "tool.exe") << "x";
    const auto before = std::filesystem::current_path();
    std::filesystem::current_path(here.path);
    WideEnvironment environment{
        {L"Path", L";.;" + (there.path / L"none").native() + L";\"" + there.path.native() + L"\""}};
    const auto found = find_program(L"tool", environment, {});
    const auto with_extension = find_program(L"TOOL.EXE", environment, {});
    const auto missing = find_program(L"tool", {{L"PATH", L".;;relative"}}, {});
    const auto by_path = find_program(L".\\tool", environment, {});
    std::filesystem::current_path(before);
    CHECK(!found.error);
    CHECK(std::filesystem::equivalent(found.path, there.path / "tool.exe"));
    CHECK(!with_extension.error);
    CHECK(missing.error == system_code(ERROR_FILE_NOT_FOUND));
    CHECK(!by_path.error);
    CHECK(std::filesystem::equivalent(by_path.path, here.path / "tool.exe"));
}

TEST_CASE("windows program search: a relative program is relative to the child's working directory", "[windows]") {
    const Directory directory;
    std::ofstream(directory.path / "tool.exe") << "x";
    const auto found = find_program(L"./tool", {}, directory.path);
    CHECK(!found.error);
    CHECK(std::filesystem::equivalent(found.path, directory.path / "tool.exe"));
    CHECK(find_program(L"./tool.exe:stream.exe", {}, directory.path).error);
    CHECK(find_program(directory.path.native(), {}, {}).error == system_code(ERROR_ACCESS_DENIED));
}

TEST_CASE("windows program search: PATHEXT gives the order and holds what can be run", "[windows]") {
    const Directory directory;
    for (const char* name : {"t.exe", "t.cmd", "t.vbs"}) std::ofstream(directory.path / name) << "x";
    WideEnvironment environment{{L"PATH", directory.path.native()}, {L"PATHEXT", L".VBS;.CMD;.EXE"}};
    CHECK(find_program(L"t", environment, {}).path.extension() == L".CMD");
    environment[L"pathext"] = L".vbs";
    CHECK(find_program(L"t", environment, {}).path.extension() == L".exe");
}

TEST_CASE("windows environment: names differ by more than case, in the order of the system", "[windows]") {
    error_code ec;
    ::SetEnvironmentVariableW(L"Warden_Test_Name", L"old");
    warden::Environment wanted;
    wanted.set("WARDEN_TEST_NAME", "new").set("b", "1").set("A", "2").set("C", "");
    auto made = child_environment(wanted, ec);
    CHECK(!ec);
    CHECK(made.at(L"warden_test_name") == L"new");
    wanted.unset("warden_test_NAME");
    made = child_environment(wanted, ec);
    ::SetEnvironmentVariableW(L"Warden_Test_Name", nullptr);
    CHECK(environment_block({{L"b", L"1"}, {L"A", L"2"}, {L"C", L""}}) == std::wstring(L"A=2\0b=1\0C=\0\0", 12));
    CHECK(environment_block({}) == std::wstring(L"\0\0", 2));
    static_cast<void>(child_environment(warden::Environment().set("x", "\xFF"), ec));
    CHECK(ec == system_code(ERROR_NO_UNICODE_TRANSLATION));
}

TEST_CASE("windows environment: one that is replaced keeps SYSTEMROOT and nothing else", "[windows]") {
    Loop loop;
    SpawnOptions options;
    options.environment = warden::Environment::empty().set("ONLY", "\xC3\xA4=b");
    Child child(loop, CommandLine(victim(), {"env"}), options);
    REQUIRE(child.ends());
    auto words = child.words();
    const auto is_added = [](const std::string& word) {
        return word.rfind("WINE", 0) == 0 || word.rfind("SystemDrive=", 0) == 0 || word[0] == '=';
    };
    std::erase_if(words, is_added);
    CAPTURE(words);
    REQUIRE(words.size() == 2);
    CHECK(words[0] == "ONLY=\xC3\xA4=b");
    CHECK(equal_ignoring_case(std::wstring(words[1].begin(), words[1].begin() + 11), L"SYSTEMROOT="));
}
