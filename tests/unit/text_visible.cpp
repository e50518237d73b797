// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/launch/spawn_failure.hpp>
#include <warden/detail/text/visible_text.hpp>
#include <warden/telemetry/prometheus.hpp>

#include <string>

using namespace warden;
using detail::visible_text;

TEST_CASE("visible text: what a terminal shows stays as it is") {
    for (const std::string text : {"", "plain ~ text \\ 'x'", "\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80"})
        CHECK(visible_text(text) == text);
}

TEST_CASE("visible text: control characters, marks of direction and what is no UTF-8 become escapes") {
    CHECK(visible_text("a\x1b[31mb\a\t\n\r\x7f") == R"(a\x1b[31mb\x07\t\n\r\x7f)");
    CHECK(visible_text(std::string("a\0b", 3)) == R"(a\x00b)");
    CHECK(visible_text("\xC2\x9B[31m") == R"(\u009b[31m)");  // CSI as one character
    CHECK(visible_text("\xE2\x80\xAE"
                       "cba") == R"(\u202ecba)");
    CHECK(visible_text("\xE2\x80\xA8\xF3\xA0\x80\x81") == R"(\u2028\U000e0001)");
    CHECK(visible_text("\xFF\xC3(\xE2\x82") == R"(\xff\xc3(\xe2\x82)");
    CHECK(visible_text("a\tb\nc", "\n") == "a\\tb\nc");
}

TEST_CASE("visible text: no byte of any text reaches a terminal as a control character") {
    std::string all;
    for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
    for (const char c : visible_text(all)) CHECK((c >= ' ' && c <= '~'));
}

TEST_CASE("spawn error: names and advice that others chose cannot write to a terminal") {
    try {
        detail::fail_start(CommandLine("a\x1b]0;title\a", {}), errc::invalid_options, SpawnStep::preflight, "b\x1b[2J",
                           "c\x1b[1m");
    } catch (const SpawnError& error) {
        const std::string what = error.what();
        CHECK(what.find('\x1b') == what.npos);
        CHECK(what.find(R"('a\x1b]0;title\x07': preflight 'b\x1b[2J' (c\x1b[1m))") != what.npos);
        CHECK(error.path() == "b\x1b[2J");
    }
}

TEST_CASE("prometheus: values of labels are valid UTF-8 without control characters") {
    const std::string text = to_prometheus({}, {{"name", "a\x1b\xFF\n"}});
    CHECK(text.find("{name=\"a\\\\x1b\\\\xff\\n\"}") != text.npos);
}
