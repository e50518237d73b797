// SPDX-License-Identifier: MIT
// Limits of what the system gives; and how the one manager is set up, or refuses to be.
#include <support/fixture.hpp>
#include <support/start.hpp>

#include <cerrno>
#include <chrono>

#include <fcntl.h>
#include <grp.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::ManagerConfig;
using warden::Output;
using warden::ProcessManager;
using warden::SpawnOptions;
using warden::SpawnStep;
using warden::Timeout;

namespace {

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

}  // namespace

// -- L01, L02: what the system gives ----------------------------------------------------------------------------------

TEMPLATE_TEST_CASE("limits: with k descriptors left a start succeeds or is EMFILE, keeps none, and others run on",
                   "[start]", EVERY_MECHANISM) {
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

TEST_CASE("limits: a user without processes left gets EAGAIN, and can start again later", "[start]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    SKIP_UNLESS(::geteuid() == 0, "only root can become a user without other processes");
    const TestDirectory place;
    ::chmod(place.path().c_str(), 01777);
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

TEMPLATE_TEST_CASE("limits: a group without processes left gives EAGAIN, and starts work again later", "[start]",
                   EVERY_MECHANISM) {
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

// -- MGR-4, CFG-1: setting up -----------------------------------------------------------------------------------------

TEST_CASE("limits: configure comes once and before the first use of instance", "[start]") {
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

TEST_CASE("limits: an invalid environment is refused with every variable named, and can be mended", "[start]") {
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

TEST_CASE(
    "limits: a mechanism that is not to be had, or a promise that is not given, is an error and no weaker one is taken",
    "[start]") {
    SKIP_UNLESS_AVAILABLE(OnKeeper);
    TestManager manager{warden::Mechanism::keeper};
    SpawnOptions options;
    options.containment.mechanism = warden::Mechanism::cgroup;
    const auto refused = failed_start(*manager, victim("exit", "0"), options);
    CHECK(refused.step() == SpawnStep::containment);
    CHECK(refused.code() == errc::containment_unavailable);
    options.containment = {.covers_setsid = true, .covers_host_crash = true};
    CHECK(manager->run(victim("exit", "0"), options).success());
}
