// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/output/capture.hpp>
#include <warden/output/log_options.hpp>

#include <string>

using namespace warden;

TEST_CASE("log limits: a bound that keeps nothing or bounds nothing is refused with advice") {
    CHECK(LogLimits{}.validate().empty());
    CHECK(LogLimits{1, 1}.validate().empty());
    CHECK(LogLimits{0, 0}.validate().size() == 2);
    CHECK(LogLimits{static_cast<std::size_t>(-1), 10}.validate().size() == 1);
    CHECK(LogLimits{0, 1}.validate().front().find("write a number") != std::string::npos);
    CHECK(OnLimit::rotate(0).validate().size() == 1);
    CHECK(OnLimit::rotate(OnLimit::max_files + 1).validate().size() == 1);
    CHECK(OnLimit::rotate(3).validate({1, LogLimits::highest}).empty());
    CHECK(OnLimit::keep_newest.validate({1, LogLimits::highest}).size() == 1);
}

TEST_CASE("on limit: keeping the newest is the default") {
    CHECK(OnLimit{} == OnLimit::keep_newest);
    CHECK_FALSE(OnLimit{}.rotates());
    CHECK(OnLimit::rotate(3).kept_files() == 3);
}

TEST_CASE("log options: all mistakes are reported together") {
    LogOptions options{};
    CHECK(options.validate().empty());
    options.directory = "";
    options.naming = LogNaming::pattern("../{nam}.log");
    options.limits = {0, 0};
    options.on_limit = OnLimit::rotate(0);
    CHECK(options.validate().size() == 6);
}

TEST_CASE("log naming: the presets give the documented names") {
    const LogFacts facts{"train", "job", "0f3e",
                         std::chrono::system_clock::time_point{std::chrono::seconds(1'709'210'096)}};
    CHECK(log_paths(LogNaming::by_name(), facts) == LogPaths{"train.log", "train_error.log"});
    CHECK(log_paths(LogNaming::by_type(), facts) == LogPaths{"job/job-0f3e.log", "job/job-0f3e.log"});
    CHECK(log_paths(LogNaming::dated(), facts) == LogPaths{"train_20240229_123456.log", "train_20240229_123456.log"});
    CHECK(log_paths(LogNaming::pattern("{type}/{name}.{stream}"), facts) ==
          LogPaths{"job/train.stdout", "job/train.stderr"});
    CHECK(LogNaming{} == LogNaming::by_type());
    CHECK(log_paths(LogNaming::by_name(), facts).separate());
    CHECK_FALSE(log_paths(LogNaming::dated(), facts).separate());
}

TEST_CASE("log naming: a pattern that cannot work is refused") {
    for (const char* pattern : {"", "/var/{name}.log", "../{name}", "a/../{name}", "{name", "name}", "{{name}}",
                                "{pid}.log", "{name}/", "..", ".", "a\\{name}", "a\n"}) {
        INFO(pattern);
        CHECK_FALSE(LogNaming::pattern(pattern).validate().empty());
    }
    for (const char* pattern : {"x", "{name}.log", "{type}/{date}/{uuid}-{stream}.log", "..{name}", "a..b"}) {
        INFO(pattern);
        CHECK(LogNaming::pattern(pattern).validate().empty());
    }
}

TEST_CASE("log naming: no fact leaves the log directory, and different names give different files") {
    LogFacts a{"../../etc/passwd", "..", "/abs", {}};
    LogFacts b = a;
    b.name = "..:..:etc:passwd";
    for (const auto& naming : {LogNaming::by_type(), LogNaming::dated(), LogNaming::pattern("{name}/{type}/{uuid}")}) {
        const auto path = log_paths(naming, a).stdout_;
        CHECK(path.is_relative());
        for (const auto& part : path) CHECK(part != "..");
    }
    CHECK_FALSE(log_paths(LogNaming::dated(), a) == log_paths(LogNaming::dated(), b));
    const std::string longest(300, 'x');
    const LogFacts c{longest, longest, longest, {}};
    CHECK(log_paths(LogNaming::pattern("{type}-{name}-{uuid}.log"), c).stdout_.native().size() <= 240);
}

TEST_CASE("safe file name: is safe everywhere and never empty") {
    CHECK(safe_file_name("web-1.2_x@y+z") == "web-1.2_x@y+z");
    CHECK(safe_file_name("") == "_");
    CHECK(safe_file_name(".") == "_");
    CHECK(safe_file_name("..") == "__");
    CHECK(safe_file_name("-rf") == "_rf");
    CHECK(safe_file_name("a/b\\c:d*e\n") == "a_b_c_d_e_");
    CHECK(safe_file_name(std::string_view("a\0b", 3)) == "a_b");
    CHECK(safe_file_name("é") == "__");
    CHECK(safe_file_name("con") == "con_");
    CHECK(safe_file_name("Nul.txt") == "Nul_.txt");
    CHECK(safe_file_name("COM1") == "COM1_");
    CHECK(safe_file_name("COM10") == "COM10");
    CHECK(safe_file_name(std::string(1000, 'x')).size() == 120);
    CHECK(safe_file_name(std::string(119, 'x') + ".").back() == '_');
}

TEST_CASE("capture: keeps the first bytes and counts the rest") {
    Capture capture(5);
    CHECK(capture.append("abc") == 3);
    CHECK_FALSE(capture.truncated());
    CHECK(capture.append("defg") == 2);
    CHECK(capture.append("h") == 0);
    CHECK(capture.text() == "abcde");
    CHECK(capture.truncated());
    CHECK(capture.dropped_bytes() == 3);
    CHECK(capture.take() == "abcde");
    CHECK(capture.text().empty());
    CHECK(Capture(0).append("x") == 0);
}
