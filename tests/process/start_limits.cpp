// SPDX-License-Identifier: MIT
// Limits: of time, of the number of processes, of what the system gives; and how a manager is set up, or refuses to be.
#include <support/fixture.hpp>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <limits>

#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::ExitCause;
using warden::ManagerConfig;
using warden::Output;
using warden::ProcessManager;
using warden::SpawnError;
using warden::SpawnOptions;
using warden::SpawnStep;
using warden::Timeout;

namespace {

SpawnOptions with_timeout(Timeout timeout) {
    SpawnOptions options;
    options.timeout = timeout;
    return options;
}

std::size_t open_descriptor_count() {
    std::size_t count = 0;
    for (int fd = 0; fd < 2048; ++fd) count += ::fcntl(fd, F_GETFD) >= 0 ? 1u : 0u;
    return count;
}

std::string listed(const std::map<int, std::string>& descriptors) {
    std::string text;
    for (const auto& [fd, target] : descriptors) text += "  " + std::to_string(fd) + ' ' + target + '\n';
    return text;
}

/// Writes a line of a control file; whether that worked.
bool write_control(const std::filesystem::path& path, const std::string& text) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    const bool written = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    if (fd >= 0) ::close(fd);
    return written;
}

/// The error that `f` throws; success if it throws none.
template <class F>
std::pair<warden::error_code, std::string> thrown_by(F f) {
    try {
        f();
    } catch (const warden::system_error& error) {
        return {error.code(), error.what()};
    }
    return {};
}

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

// -- N01, LIM-2: time -------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("limits: a timeout of zero, less or no number is refused, and one beyond all clocks is for ever",
                   "[start][N01]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const double nan = std::numeric_limits<double>::quiet_NaN();
    for (const Timeout bad : {Timeout(0s), Timeout(-1s), Timeout(-1ns), Timeout(std::chrono::hours::min()),
                              Timeout(std::chrono::duration<double>(nan)),
                              Timeout(std::chrono::duration<double>(-std::numeric_limits<double>::infinity()))}) {
        const auto error = failed_start(*manager, victim("exit", "0"), with_timeout(bad));
        CHECK(error.code() == errc::invalid_timeout);
        CHECK(error.step() == SpawnStep::validation);
    }
    for (const Timeout endless :
         {warden::no_timeout, Timeout(std::chrono::hours::max()), Timeout(warden::Nanoseconds::max() - 1ns),
          Timeout(std::chrono::duration<double>(1e300)),
          Timeout(std::chrono::duration<double>(std::numeric_limits<double>::infinity()))}) {
        const auto result = manager->run(victim("exit", "8"), with_timeout(endless));
        CHECK(result.status.code() == 8);
        CHECK(result.cause == ExitCause::normal);
    }
}

TEMPLATE_TEST_CASE("limits: a timeout of a millisecond stops the process and is its cause", "[start][N01][LIM-2]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const auto result = manager->run(victim("stay"), with_timeout(1ms));
    CHECK(result.cause == ExitCause::timed_out);
    CHECK(result.status.signal() == SIGTERM);
    CHECK_FALSE(result.success());
    CHECK(manager->metrics().timeouts_total == 1);
}

TEMPLATE_TEST_CASE("limits: every wait saturates, and one that is over looks and returns", "[start][N01]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(victim("stay"));
    CHECK_FALSE(process.wait_for(0s));
    CHECK_FALSE(process.wait_for(-1h));
    CHECK_FALSE(process.wait_for(std::chrono::hours::min()));
    CHECK_FALSE(process.wait_for(1ms));
    CHECK_FALSE(process.wait_for(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())));
    CHECK_FALSE(process.wait_until(std::chrono::steady_clock::now() - 1s));
    CHECK_FALSE(process.wait_until(std::chrono::system_clock::now() - 1h));
    process.kill();
    CHECK(process.wait_for(std::chrono::hours::max()).has_value());
    CHECK(process.wait_for(0s).has_value());
    CHECK(process.wait_until(std::chrono::steady_clock::time_point::max()).has_value());
}

TEMPLATE_TEST_CASE("limits: a process that asks for no timeout of its own gets the default, and its stop plan",
                   "[start][LIM-2]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    CHECK(ManagerConfig{}.default_timeout == Timeout(300s));
    TestManager manager{TestType::mechanism, [](ManagerConfig& config) { config.default_timeout = 100ms; }};
    Handshake ready(manager.directory / "ready");
    SpawnOptions options;
    options.stop_plan = warden::StopPlan{}.terminate(50ms).kill(2s).last_resort(1s);
    auto stubborn = manager->spawn(victim(ready, "ignore-term"), options);
    CHECK(stubborn.wait().signal() == SIGKILL);
    CHECK(stubborn.cause() == ExitCause::timed_out);
    CHECK(stubborn.runtime() >= 150ms);

    auto longer = manager->spawn(victim("trap-exit0"), with_timeout(warden::no_timeout));
    CHECK_FALSE(longer.wait_for(200ms));
    CHECK(longer.stop().clean());
    CHECK(longer.cause() == ExitCause::stopped);
}

// -- LIM-1: how many
// ----------------------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE(
    "limits: one process too many fails at once with its own error, and there is room again when one has ended",
    "[start][LIM-1]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    CHECK(ManagerConfig{}.max_processes == 100);
    TestManager manager{TestType::mechanism, [](ManagerConfig& config) { config.max_processes = 3; }};
    std::vector<warden::ManagedProcess> running;
    for (int i = 0; i < 3; ++i) running.push_back(manager->spawn(victim("stay")));
    for (int i = 0; i < 5; ++i) {
        const auto began = std::chrono::steady_clock::now();
        const auto error = failed_start(*manager, victim("stay"));
        CHECK(std::chrono::steady_clock::now() - began < 1s);
        CHECK(error.code() == errc::too_many_processes);
        CHECK(error.step() == SpawnStep::process_limit);
        CHECK(contains(error.what(), "3"));
    }
    CHECK(manager->active_pids().size() == 3);
    running.front().kill();
    static_cast<void>(running.front().wait());
    running.push_back(manager->spawn(victim("stay")));
    CHECK(failed_start(*manager, victim("stay")).code() == errc::too_many_processes);
    for (int i = 0; i < 10; ++i) CHECK(failed_start(*manager, {"/no/such/program"}).code() == errc::too_many_processes);
    running.back().kill();
    static_cast<void>(running.back().wait());
    for (int i = 0; i < 10; ++i)
        CHECK(failed_start(*manager, {"/no/such/program"}).code().value() == ENOENT);  // no place is lost
    CHECK(manager->run(victim("exit", "0")).success());
}

// -- L01, L02: what the system gives
// ------------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("limits: with k descriptors left a start succeeds or is EMFILE, keeps none, and others run on",
                   "[start][L01]", OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        struct rlimit limit {};
        ::getrlimit(RLIMIT_NOFILE, &limit);
        TestManager manager{TestType::mechanism};
        SpawnOptions pipes;
        pipes.stdin_ = warden::Input::pipe;
        pipes.stdout_ = Output::capture | Output::log;
        pipes.stderr_ = Output::capture | Output::log;
        auto bystander = manager->spawn(victim("echo"), pipes);
        bystander.write("before");
        static_cast<void>(manager->run(victim("exit", "0")));  // whatever is opened once is open now
        const auto before = open_descriptors();
        int failed = 0;
        int succeeded = 0;
        for (int k = 0; k <= 24; ++k) {
            const std::string at = "with " + std::to_string(k) + " left: ";
            int highest = 0;
            for (const auto& [fd, target] : open_descriptors())
                highest = fd < 500 ? fd : highest;  // 500 is that of `check`
            std::vector<int> fillers;               // no holes below the limit
            do fillers.push_back(::fcntl(2, F_DUPFD_CLOEXEC, 3));
            while (fillers.back() < highest);
            const struct rlimit low { static_cast<rlim_t>(fillers.back() + 1 + k), limit.rlim_max };
            ::setrlimit(RLIMIT_NOFILE, &low);
            warden::error_code ec;
            auto process = manager->spawn(victim("exit", "5"), pipes, ec);
            ::setrlimit(RLIMIT_NOFILE, &limit);
            if (ec) {
                ++failed;
                check.that(ec.value() == EMFILE && ec.category() == boost::system::system_category(),
                           at + ec.message());
            } else {
                ++succeeded;
                const auto status = process.wait_for(10s);
                check.that(status && status->code() == 5,
                           at + "it started but " + (status ? status->to_string() : "does not end"));
            }
            process = {};
            for (const int filler : fillers) ::close(filler);
        }
        auto after = open_descriptors();  // two spare keepers may have come since
        check.that(eventually([&] { return (after = open_descriptors()).size() <= before.size() + 2; }, 3s),
                   "descriptors were kept; before:\n" + listed(before) + "after:\n" + listed(after));
        check.that(failed > 0 && succeeded > 0,
                   "the sweep saw both: " + std::to_string(failed) + " and " + std::to_string(succeeded));
        warden::error_code ec;
        const auto result = bystander.communicate(" and after", Timeout(10s), ec);
        check.that(!ec && result.out == "before and after", "the bystander: '" + result.out + "' " + ec.message());
        check.that(manager->run(victim("exit", "6")).status.code() == 6, "all is well afterwards");
    });
    CHECK(failures == "");
}

TEST_CASE("limits: a user without processes left gets EAGAIN, and can start again later", "[start][L02]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    SKIP_UNLESS(::geteuid() == 0, "only root can become a user without other processes");
    const TestDirectory place;
    ::chmod(place.path().c_str(), 0777);
    const std::string failures = in_subprocess([&](Checks& check) {
        const uid_t lonely = 2'000'000'000u + static_cast<uid_t>(::getpid());
        const struct rlimit few { 16, 16 };
        if (!check.that(::setgroups(0, nullptr) == 0 && ::setrlimit(RLIMIT_NPROC, &few) == 0 &&
                            ::setresgid(lonely, lonely, lonely) == 0 && ::setresuid(lonely, lonely, lonely) == 0,
                        "a user of its own"))
            return;
        ::setenv("TMPDIR", place.path().c_str(), 1);
        TestManager manager{warden::Mechanism::keeper};
        std::vector<warden::ManagedProcess> running;
        warden::error_code ec;
        std::size_t descriptors = 0;
        while (!ec && running.size() < 40) {
            descriptors = open_descriptor_count();
            auto process = manager->spawn(victim("stay"), {}, ec);
            if (!ec) running.push_back(std::move(process));
        }
        check.that(ec.value() == EAGAIN && ec.category() == boost::system::system_category(),
                   "the error: " + ec.message());
        check.that(running.size() > 1 && running.size() < 16, std::to_string(running.size()) + " were started");
        check.that(eventually([&] { return open_descriptor_count() <= descriptors + 2; }, 3s), "no descriptor is kept");
        for (auto& process : running) check.that(process.running(), "the others run");
        running.clear();
        check.that(eventually([&] {
                       const auto result = manager->run(victim("exit", "3"), {}, {}, ec);
                       return !ec && result.status.code() == 3;
                   }),
                   "a later start works: " + ec.message());
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("limits: a group without processes left gives EAGAIN, and starts work again later", "[start][L02]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::filesystem::path group = "/sys/fs/cgroup/pids/warden-test-" + std::to_string(::getpid());
    SKIP_UNLESS(::geteuid() == 0 && ::mkdir(group.c_str(), 0755) == 0,
                "no version 1 hierarchy with the controller 'pids'");
    const std::string failures = in_subprocess([&](Checks& check) {
        if (!check.that(write_control(group / "cgroup.procs", "0"), "in the group")) return;
        TestManager manager{TestType::mechanism};
        static_cast<void>(manager->run(victim("exit", "0")));
        check.that(write_control(group / "pids.max", "0"), "no process more");
        std::size_t descriptors = 0;
        for (int i = 0; i < 10; ++i) {  // the spare keepers are used up first
            warden::error_code ec;
            const auto process = manager->spawn(victim("exit", "0"), {}, ec);
            check.that(ec.value() == EAGAIN && ec.category() == boost::system::system_category(),
                       "the error: " + ec.message());
            if (i == 4) descriptors = open_descriptor_count();
        }
        check.that(eventually([&] { return open_descriptor_count() <= descriptors; }, 3s), "no descriptor is kept");
        check.that(write_control(group / "pids.max", "max"), "as many as it likes");
        warden::error_code ec;
        check.that(eventually([&] {
                       const auto result = manager->run(victim("exit", "3"), {}, {}, ec);
                       return !ec && result.status.code() == 3;
                   }),
                   "a later start works: " + ec.message());
    });
    CHECK(failures == "");
    CHECK(eventually([&] { return ::rmdir(group.c_str()) == 0; }));
}

// -- MGR-4, CFG-1: setting up
// -------------------------------------------------------------------------------------------

TEST_CASE("limits: configure comes once and before the first use of instance", "[start][MGR-4]") {
    const TestDirectory place;
    const auto config = [&] {
        ManagerConfig wanted;
        wanted.handle_signals = false;
        wanted.data_directory = place / "data";
        wanted.max_processes = 7;
        return wanted;
    };
    const std::string twice = in_subprocess([&](Checks& check) {
        ProcessManager::configure(config());
        check.that(thrown_by([&] { ProcessManager::configure(config()); }).first == errc::already_configured,
                   "a second time is an error");
        check.that(ProcessManager::instance().config().max_processes == 7, "the first counts");
        check.that(&ProcessManager::instance() == &ProcessManager::instance(), "there is one");
        check.that(thrown_by([&] { ProcessManager::configure(config()); }).first == errc::already_configured,
                   "so is one after its use");
        check.that(ProcessManager::instance().run(victim("exit", "4")).status.code() == 4, "it works");
    });
    CHECK(twice == "");
    const std::string late = in_subprocess([&](Checks& check) {
        ::setenv("WARDEN_DATA_DIRECTORY", (place / "data").c_str(), 1);
        ::setenv("WARDEN_HANDLE_SIGNALS", "no", 1);
        ::setenv("WARDEN_MAX_PROCESSES", "11", 1);
        check.that(ProcessManager::instance().config().max_processes == 11, "the environment counts");
        check.that(thrown_by([&] { ProcessManager::configure(config()); }).first == errc::already_configured,
                   "too late");
    });
    CHECK(late == "");
}

TEST_CASE("limits: an invalid configuration is refused with every mistake in its message", "[start][MGR-4][CFG-1]") {
    ManagerConfig config;
    config.max_processes = 0;
    config.default_timeout = Timeout(-5s);
    config.graceful_timeout = -1s;
    config.cleanup_interval = 0s;
    config.stop_plan = warden::StopPlan{}.terminate(1s);
    config.spare_keepers = 0;
    config.max_line_bytes = 1;
    const std::vector<std::string_view> names{"max_processes",    "default_timeout", "graceful_timeout",
                                              "cleanup_interval", "stop plan",       "spare_keepers",
                                              "max_line_bytes"};
    for (const auto& [code, message] :
         {thrown_by([&] { ProcessManager manager(config); }), thrown_by([&] { ProcessManager::configure(config); })}) {
        CHECK(code == errc::invalid_configuration);
        for (const auto& name : names) {
            INFO(name << " is in: " << message);
            CHECK(contains(message, name));
        }
    }
    const std::string failures = in_subprocess([&](Checks& check) {
        ::setenv("WARDEN_MAX_PROCESSES", "many", 1);
        ::setenv("WARDEN_DEFAULT_TIMEOUT", "-3", 1);
        ::setenv("PM_GRACEFUL_TIMEOUT", "soon", 1);
        ::setenv("WARDEN_MECHANISM", "magic", 1);
        const auto [code, message] = thrown_by([] { static_cast<void>(ProcessManager::instance()); });
        check.that(code == errc::invalid_configuration, "the code: " + code.message());
        for (const char* name :
             {"WARDEN_MAX_PROCESSES", "WARDEN_DEFAULT_TIMEOUT", "PM_GRACEFUL_TIMEOUT", "WARDEN_MECHANISM"}) {
            check.that(contains(message, name), std::string(name) + " is not in: " + message);
        }
        for (const char* name :
             {"WARDEN_MAX_PROCESSES", "WARDEN_DEFAULT_TIMEOUT", "PM_GRACEFUL_TIMEOUT", "WARDEN_MECHANISM"})
            ::unsetenv(name);
        check.that(!thrown_by([] { static_cast<void>(ProcessManager::instance()); }).first,
                   "it can be mended and tried again");
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("limits: a manager that could not be set up starts nothing and says why", "[start][MGR-4]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism,
                        [](ManagerConfig& config) { config.data_directory = "/proc/no/such/place"; }};
    const auto error = failed_start(*manager, victim("exit", "0"));
    CHECK(error.step() == SpawnStep::setup);
    CHECK(contains(error.what(), "/proc/no/such/place"));
    CHECK(contains(error.what(), "WARDEN_DATA_DIRECTORY"));
}

TEST_CASE(
    "limits: a mechanism that is not to be had, or a promise that is not given, is an error and no weaker one is taken",
    "[start][MGR-4]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    TestManager windows{warden::Mechanism::job_object};
    const auto error = failed_start(*windows, victim("exit", "0"));
    CHECK(error.step() == SpawnStep::setup);
    CHECK(error.code() == errc::containment_unavailable);

    TestManager manager{warden::Mechanism::keeper};
    SpawnOptions options;
    options.containment.mechanism = warden::Mechanism::cgroup;
    const auto refused = failed_start(*manager, victim("exit", "0"), options);
    CHECK(refused.step() == SpawnStep::containment);
    CHECK(refused.code() == errc::containment_unavailable);
    options.containment = {.covers_setsid = true, .covers_host_crash = true};
    CHECK(manager->run(victim("exit", "0"), options).success());
}

TEMPLATE_TEST_CASE("limits: options that contradict each other are refused together", "[start][MGR-4]", OnCgroup,
                   OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stdout_ = Output::merge;
    options.stderr_ = Output::null | Output::log;
    options.stop_plan = warden::StopPlan{}.terminate(-1s);
    options.identity.umask = 07777;
    const auto error = failed_start(*manager, victim("exit", "0"), options);
    CHECK(error.code() == errc::invalid_options);
    for (const char* part : {"merge", "stand alone", "stop plan", "negative", "umask"}) {
        INFO(part << " is in: " << error.what());
        CHECK(contains(error.what(), part));
    }
}
