// SPDX-License-Identifier: MIT
// What Windows alone does with arguments, and with what else a child is born with (see also scenarios/start_words.cpp).
#include <windows/scenario_start.hpp>

using namespace support;
using warden::CommandLine;
using warden::Environment;
using warden::SpawnOptions;
using warden::SpawnStep;

namespace {

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

}  // namespace

TEST_CASE("scenario: a word that is no UTF-8 is refused before anything is started", "[scenario]") {
    TestManager manager;
    const std::string no_utf8 = "a\xFF";
    const auto refused = [&](const CommandLine& command, const SpawnOptions& options) {
        const auto error = failed_start(*manager, command, options);
        INFO(error.what());
        CHECK(error.step() == SpawnStep::validation);
        CHECK(error.code() == system_code(ERROR_NO_UNICODE_TRANSLATION));
    };
    refused({no_utf8}, {});
    refused(victim("argv", no_utf8), {});
    refused(victim("env"), with_environment(Environment::inherit().set("A", no_utf8)));
    refused(victim("env"), with_environment(Environment::inherit().set(no_utf8, "x")));
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
        CHECK(error.code() == system_code(ERROR_FILENAME_EXCED_RANGE));
        CHECK(names(error, "32766"));
    }
}

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
