// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/error.hpp>

#include <set>
#include <string>
#include <string_view>

using namespace warden;

TEST_CASE("error: every code has a message of its own, and an unknown number has one too") {
    std::set<std::string> messages;
    for (int i = 0; i <= static_cast<int>(errc::probe_failed); ++i) {
        messages.insert(error_code(static_cast<errc>(i)).message());
    }
    CHECK(messages.size() == static_cast<std::size_t>(errc::probe_failed) + 1);
    CHECK(messages.count("") == 0);
    CHECK(error_category().message(1000) == "unknown error");
    CHECK(error_category().message(-1) == "unknown error");
}

TEST_CASE("error: a code is compared with its name, and only success is no error") {
    const error_code code = errc::too_many_processes;
    CHECK(code == errc::too_many_processes);
    CHECK(code != errc::timed_out);
    CHECK(code);
    CHECK(std::string_view(code.category().name()) == "warden");
    CHECK_FALSE(error_code(errc::success));
    CHECK(code != error_code(static_cast<int>(errc::too_many_processes), boost::system::system_category()));
}

TEST_CASE("spawn error: carries the code, the step and the path, and says so in words") {
    const SpawnError error(detail::system_code(2), SpawnStep::working_directory, "/nowhere",
                           "cannot start x: working directory");
    CHECK(error.step() == SpawnStep::working_directory);
    CHECK(error.path() == "/nowhere");
    CHECK(error.code() == boost::system::errc::no_such_file_or_directory);
    CHECK(std::string(error.what()).find("cannot start x: working directory") != std::string::npos);
}

TEST_CASE("spawn step: each has a name of its own, in words") {
    std::set<std::string_view> names;
    for (int i = 0; i <= static_cast<int>(SpawnStep::setup); ++i) names.insert(to_string(static_cast<SpawnStep>(i)));
    CHECK(names.size() == static_cast<std::size_t>(SpawnStep::setup) + 1);
    CHECK(names.count("") == 0);
    CHECK(to_string(SpawnStep::working_directory) == "working directory");
    CHECK(to_string(SpawnStep::launch) == "launch");
    CHECK(to_string(SpawnStep::setup) == "setup");
}
