// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/supervision/probe.hpp>

#include <chrono>
#include <string>
#include <vector>

using namespace warden;
using namespace std::chrono_literals;

TEST_CASE("probe: each kind says what it looks at, in words", "[supervision]") {
    CHECK(Probe::delay(1500ms).to_string() == "delay 1500 ms");
    CHECK(Probe::tcp(8000).to_string() == "tcp 127.0.0.1:8000");
    CHECK(Probe::tcp(8000, "::1").to_string() == "tcp [::1]:8000");
    CHECK(Probe::unix_socket("@name").to_string() == "unix socket '@name'");
    CHECK(Probe::file("/run/ready").to_string() == "file '/run/ready'");
    CHECK(Probe::log_line("listening").to_string() == "line with 'listening'");
    CHECK(Probe::fails_on_line("panic").to_string() == "no line with 'panic'");
    CHECK(Probe::command({"curl", "-f", "a b"}).to_string() == "command curl -f 'a b'");
    CHECK(Probe::notify().to_string() == "notify");
    CHECK(Probe::custom("the queue is empty", [] { return std::nullopt; }).to_string() == "the queue is empty");
    CHECK(Probe::all_of({Probe::notify(), Probe::any_of({Probe::tcp(1), Probe::tcp(2)})}).to_string() ==
          "all of (notify, any of (tcp 127.0.0.1:1, tcp 127.0.0.1:2))");
}

TEST_CASE("probe: is built like a sentence", "[supervision]") {
    const Probe probe = Probe::tcp(80, "::").after(1s).every(2s).timeout(3s).within(4s).thresholds(5, 6);
    CHECK(probe.timing() == ProbeTiming{1s, 2s, 3s, 4s, 5, 6});
    CHECK(probe.kind() == ProbeKind::tcp);
    CHECK(probe.port() == 80);
    CHECK(probe.text() == "::");
    CHECK(probe.validate().empty());
}

TEST_CASE("probe: what is right has no mistakes", "[supervision]") {
    for (const Probe& probe :
         {Probe::delay(0s), Probe::delay(60s), Probe::tcp(1), Probe::tcp(65535, "localhost"), Probe::tcp(1, "::1"),
          Probe::tcp(1, "fe80::1"), Probe::tcp(1, "255.0.0.1"), Probe::unix_socket("s"), Probe::file("f"),
          Probe::log_line("x"), Probe::fails_on_line("x"), Probe::command({"true"}), Probe::notify(),
          Probe::custom("c", [] { return std::nullopt; }),
          Probe::all_of({Probe::delay(2min), Probe::notify()}).within(5min)}) {
        INFO(probe.to_string());
        CHECK(probe.validate() == std::vector<std::string>());
    }
}

TEST_CASE("probe: all mistakes are named at once, each with what to write", "[supervision]") {
    const Probe probe = Probe::all_of({
                                          Probe::delay(-1s),
                                          Probe::tcp(0, "example.org"),
                                          Probe::tcp(1, "1.2.3"),
                                          Probe::tcp(1, "256.1.1.1"),
                                          Probe::unix_socket({}),
                                          Probe::file(std::string("a\0b", 3)),
                                          Probe::log_line({}),
                                          Probe::fails_on_line("a\nb"),
                                          Probe::command(CommandLine()),
                                          Probe::custom("nothing", {}),
                                          Probe::check("other", nullptr, {"is odd; write an even one"}),
                                          Probe::any_of({}),
                                          Probe::notify().after(-1s).every(0s).timeout(0s).thresholds(0, 1001),
                                          Probe::notify().after(5s).within(5s),
                                          Probe::delay(40s),
                                      })
                            .within(30s);
    const std::vector<std::string> expected{
        "delay -1 s: the delay is negative; it must be 0 or more",
        "tcp example.org:0: port 0 is none; choose one from 1 to 65535",
        "tcp example.org:0: 'example.org' is no numeric address; write for example 127.0.0.1",
        "tcp 1.2.3:1: '1.2.3' is no numeric address; write for example 127.0.0.1",
        "tcp 256.1.1.1:1: '256.1.1.1' is no numeric address; write for example 127.0.0.1",
        "unix socket '': the path is empty; write one",
        std::string("file 'a\0b': a NUL byte is in the path", 37),
        "line with '': the text is empty, so that every line holds it; write a text",
        "no line with 'a\nb': the text holds a newline, so that no line holds it; write a part of one line",
        "command '': the command is empty or holds a NUL byte",
        "nothing: there is no function; give one",
        "other: there is no check; give one",
        "other: is odd; write an even one",
        "any of (): there are no probes in it; write one or more",
        "notify: initial_delay is -1 s; it must be between 0 s and 604800 s",
        "notify: interval is 0 s; it must be between 1 ms and 604800 s",
        "notify: timeout is 0 s; it must be between 1 ms and 604800 s",
        "notify: success_threshold is 0; it must be between 1 and 1000",
        "notify: failure_threshold is 1001; it must be between 1 and 1000",
        "notify: deadline is 5 s and initial_delay is 5 s; the deadline must be later",
        "delay 40 s: the delay is 40 s, the deadline 30 s; give a deadline after the delay: within(...)",
    };
    CHECK(probe.validate() == expected);
    CHECK(Probe::notify().within(Nanoseconds::max()).validate().size() == 1);
    CHECK(Probe::notify().within(0s).validate().size() == 1);
}

TEST_CASE("probe: says whether it needs the notification socket, and whether it can say ready", "[supervision]") {
    const Probe bad_line = Probe::fails_on_line("panic");
    CHECK(Probe::notify().needs_notify());
    CHECK(Probe::all_of({bad_line, Probe::any_of({Probe::notify()})}).needs_notify());
    CHECK_FALSE(Probe::all_of({bad_line, Probe::tcp(1)}).needs_notify());
    CHECK(Probe::tcp(1).can_say_ready());
    CHECK(Probe::all_of({bad_line, Probe::tcp(1)}).can_say_ready());
    CHECK_FALSE(bad_line.can_say_ready());
    CHECK_FALSE(Probe::all_of({bad_line, Probe::any_of({bad_line})}).can_say_ready());
}
