// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/command_line.hpp>

#include <string>
#include <vector>

using namespace warden;

TEST_CASE("command line: the first word is the program, the others are its arguments, byte for byte") {
    const std::vector<std::string> hostile{"", " ", "a b", "\n", "\"'\\", "\xFF\xFE", "--", "$HOME"};
    std::vector<std::string> words{"program"};
    words.insert(words.end(), hostile.begin(), hostile.end());
    CHECK(CommandLine(words).program() == "program");
    CHECK(CommandLine(words).arguments() == hostile);
    CHECK(CommandLine(words) == CommandLine("program", hostile));
    CHECK(CommandLine{"a", "b"} == CommandLine(std::vector<std::string>{"a", "b"}));
    CHECK(CommandLine{"a", "b"} != CommandLine{"a", "b", ""});
    const char* const pointer = "c";
    CHECK(CommandLine{"a", {"b", pointer}} == CommandLine{"a", "b", pointer});
    const auto taken = [](const CommandLine& command) { return command; };
    CHECK(taken({"a", {"b", "c"}}) == CommandLine{"a", "b", "c"});
    CHECK(taken({pointer, {pointer, pointer}}) == CommandLine{"c", "c", "c"});
    CHECK(taken({"a"}) == CommandLine{"a"});
    CHECK(taken({"a", std::vector<std::string>{"b", "c"}}) == CommandLine{"a", "b", "c"});
}

TEST_CASE("command line: one that is empty or holds a NUL byte is refused, and no other") {
    CHECK(CommandLine().validate() == errc::invalid_command);
    CHECK(CommandLine(std::vector<std::string>{}).validate() == errc::invalid_command);
    CHECK(CommandLine{"", "a"}.validate() == errc::invalid_command);
    CHECK(CommandLine{std::string("a\0b", 3)}.validate() == errc::invalid_command);
    CHECK(CommandLine{"a", "b", std::string(1, '\0')}.validate() == errc::invalid_command);
    CHECK_FALSE(CommandLine{"a"}.validate());
    CHECK_FALSE(CommandLine{"a", "", "\xFF", "\n"}.validate());
}

TEST_CASE("command line: for people, a word is quoted where a reader would be misled") {
    CHECK(CommandLine{"python3", "-u", "train.py", "--rate=0.1"}.to_string() == "python3 -u train.py --rate=0.1");
    CHECK(CommandLine{"echo", "", "a b", "it's", "$x", "*", "a\"b"}.to_string() ==
          R"(echo '' 'a b' 'it'\''s' '$x' '*' 'a"b')");
    CHECK(CommandLine{"my program"}.to_string() == "'my program'");
    CHECK(CommandLine().to_string() == "''");
}

TEST_CASE("command line: a shell is asked for by name, and its text is one argument") {
    const auto command = CommandLine::shell("echo 'a b' | wc");
    REQUIRE_FALSE(command.arguments().empty());
    CHECK(command.arguments().back() == "echo 'a b' | wc");
    CHECK_FALSE(command.validate());
}
