// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/exit_status.hpp>

#include <set>
#include <string_view>

using namespace warden;

TEST_CASE("exit status: an unknown one is neither a success nor a code nor a signal") {
    constexpr ExitStatus status;
    CHECK_FALSE(status.known());
    CHECK_FALSE(status.exited());
    CHECK_FALSE(status.signaled());
    CHECK_FALSE(status.success());
    CHECK_FALSE(status.core_dumped());
    CHECK(status.code() == -1);
    CHECK(status.signal() == 0);
    CHECK(status.to_string() == "exit status unknown");
    CHECK(status != ExitStatus::from_code(0));
}

TEST_CASE("exit status: an exit has a code and no signal") {
    constexpr auto status = ExitStatus::from_code(3);
    CHECK((status.known() && status.exited() && !status.signaled() && !status.success()));
    CHECK(status.code() == 3);
    CHECK(status.signal() == 0);
    CHECK(status.to_string() == "exited with code 3");
    CHECK(ExitStatus::from_code(0).success());
    CHECK(ExitStatus::from_code(259).code() == 259);
    CHECK(ExitStatus::from_code(0xC0000005).code() == static_cast<int>(0xC0000005));
    CHECK_FALSE(ExitStatus::from_code(0x1'0000'0000).success());
}

TEST_CASE("exit status: a signal is not an exit with 128 and its number") {
    constexpr auto status = ExitStatus::from_signal(11, true);
    CHECK((status.known() && status.signaled() && !status.exited() && !status.success()));
    CHECK(status.code() == -1);
    CHECK(status.signal() == 11);
    CHECK(status.core_dumped());
    CHECK(status.to_string() == "ended by signal 11 (core dumped)");
    CHECK(ExitStatus::from_signal(9, false).to_string() == "ended by signal 9");
    CHECK(status != ExitStatus::from_code(139));
    CHECK(status != ExitStatus::from_signal(11, false));
}

TEST_CASE("exit cause: each has a name of its own") {
    std::set<std::string_view> names;
    for (int i = 0; i <= static_cast<int>(ExitCause::host_shutdown); ++i) {
        names.insert(to_string(static_cast<ExitCause>(i)));
    }
    CHECK(names.size() == static_cast<std::size_t>(ExitCause::host_shutdown) + 1);
    CHECK(names.count("") == 0);
    CHECK(to_string(ExitCause::unknown) == "unknown");
    CHECK(to_string(ExitCause::timed_out) == "timed_out");
    CHECK(to_string(ExitCause::host_shutdown) == "host_shutdown");
}
