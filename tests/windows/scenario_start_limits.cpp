// SPDX-License-Identifier: MIT
// How the one manager is set up, or refuses to be; options that Windows has nothing for.
#include <cstdlib>

#include <windows/scenario_start.hpp>

using namespace support;
using warden::errc;
using warden::Output;
using warden::ProcessManager;
using warden::SpawnOptions;
using warden::SpawnStep;

namespace {

/// Runs the current case again, alone in a process of its own with `changes` to the environment, and `body` there: what
/// is once in a program needs a program for it. The title of the case may hold no comma.
template <class Body>
void in_own_process(warden::Environment changes, Body body) {
    if (std::getenv("WARDEN_TEST_INSIDE")) return body();
    TestManager manager;
    const std::string name = Catch::getResultCapture().getCurrentTestName();
    changes.set("WARDEN_TEST_INSIDE", "1").set("WARDEN_DATA_DIRECTORY", (manager.directory / "inner").string());
    const auto inside = manager->run(warden::CommandLine(beside("windows_tests.exe"), {name, "--warn", "NoTests"}),
                                     {.environment = std::move(changes)});
    INFO(inside.out << inside.err);
    CHECK(inside.success());
}

}  // namespace

// -- setting up -------------------------------------------------------------------------------------------------------

TEST_CASE("scenario: configure comes once and before the first use of instance", "[scenario]") {
    in_own_process(warden::Environment::inherit(), [] {
        auto wanted = warden::ManagerConfig::from_environment();
        wanted.handle_signals = false;
        wanted.max_processes = 7;
        ProcessManager::configure(wanted);
        CHECK(thrown_by([&] { ProcessManager::configure(wanted); }).first == errc::already_configured);
        CHECK(ProcessManager::instance().config().max_processes == 7);
        CHECK(&ProcessManager::instance() == &ProcessManager::instance());
        CHECK(thrown_by([&] { ProcessManager::configure(wanted); }).first == errc::already_configured);
        CHECK(ProcessManager::instance().run(victim("exit", "4")).status.code() == 4);
    });
}

TEST_CASE("scenario: without configure the environment counts and configure comes too late after that", "[scenario]") {
    in_own_process(warden::Environment::inherit().set("WARDEN_HANDLE_SIGNALS", "no").set("WARDEN_MAX_PROCESSES", "11"),
                   [] {
                       CHECK(ProcessManager::instance().config().max_processes == 11);
                       CHECK(thrown_by([] { ProcessManager::configure({}); }).first == errc::already_configured);
                       CHECK(ProcessManager::instance().run(victim("exit", "4")).status.code() == 4);
                   });
}

TEST_CASE("scenario: an invalid environment is refused with every variable named and can be mended", "[scenario]") {
    static constexpr const char* names[] = {"WARDEN_MAX_PROCESSES", "WARDEN_DEFAULT_TIMEOUT", "PM_GRACEFUL_TIMEOUT",
                                            "WARDEN_MECHANISM"};
    auto environment = warden::Environment::inherit();
    environment.set(names[0], "many").set(names[1], "-3").set(names[2], "soon").set(names[3], "magic");
    in_own_process(environment, [] {
        const auto [code, message] = thrown_by([] { static_cast<void>(ProcessManager::instance()); });
        CHECK(code == errc::invalid_configuration);
        INFO(message);
        for (const char* name : names) CHECK(contains(message, name));
        for (const char* name : names) ::_putenv_s(name, "");
        CHECK_FALSE(thrown_by([] { static_cast<void>(ProcessManager::instance()); }).first);
    });
}

TEST_CASE("scenario: a job keeps every promise", "[scenario]") {
    TestManager manager;
    SpawnOptions options;
    options.containment = {.covers_setsid = true, .covers_host_crash = true};
    CHECK(manager->run(victim("exit", "0"), options).success());
}

TEST_CASE("scenario: what Windows does not have is refused by its step and in words", "[scenario]") {
    TestManager manager;
    const auto refused = [&](SpawnStep step, const char* words, auto change) {
        SpawnOptions options;
        change(options);
        const auto error = failed_start(*manager, victim("exit", "0"), options);
        INFO(error.what());
        CHECK(error.code() == errc::invalid_options);
        CHECK(error.step() == step);
        CHECK(names(error, words));
    };
    refused(SpawnStep::identity, "no other user", [](auto& options) { options.identity.user = "somebody"; });
    refused(SpawnStep::identity, "group", [](auto& options) { options.identity.group = "somebody"; });
    refused(SpawnStep::identity, "umask", [](auto& options) { options.identity.umask = 022; });
    refused(SpawnStep::resource_limits, "open files", [](auto& options) { options.limits.open_files = 77; });
    refused(SpawnStep::resource_limits, "file sizes", [](auto& options) { options.limits.file_bytes = 1000; });
    refused(SpawnStep::resource_limits, "core files", [](auto& options) { options.limits.core_bytes = 0; });
    refused(SpawnStep::descriptors, "no terminals", [](auto& options) { options.terminal.emplace(); });
    const auto contradicts = [&](auto change) {
        refused(SpawnStep::validation, "terminal", [&](SpawnOptions& options) {
            options.terminal.emplace();
            change(options);
        });
    };
    contradicts([](SpawnOptions& options) { options.terminal->rows = 0; });
    contradicts([](SpawnOptions& options) { options.stdin_ = warden::Input::inherit; });
    contradicts([](SpawnOptions& options) { options.stdout_ = Output::inherit; });
    contradicts([](SpawnOptions& options) { options.stderr_ = Output::capture; });
    CHECK(manager->metrics().spawned_total == 0);

    auto without = manager->spawn(victim("sleep-forever"), {.stop_plan = warden::StopPlan::now()});
    warden::error_code ec;
    without.resize_terminal({.columns = 80, .rows = 24}, ec);
    CHECK(ec == errc::invalid_options);
}
