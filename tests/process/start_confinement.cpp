// SPDX-License-Identifier: MIT
// SPN-10: a child is never less confined than a fork of the thread that starts it would be, whatever the program has
// done to itself since its manager was made.
#include <support/fixture.hpp>

#include <cerrno>
#include <cstdio>
#include <thread>

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace support;

namespace {

constexpr const char* describe =
    "grep -E '^(Umask|Uid|Gid|Groups|Cap|NoNew|Sec|Spec|Cpus_allowed:|Mems_allowed:)' /proc/self/status;"
    "readlink /proc/self/ns/*; cat /proc/self/attr/current 2>/dev/null; cat /proc/self/cgroup | grep -v ^0::";

/// What a fork of this thread gets.
std::string of_fork() {
    std::string text;
    FILE* const pipe = ::popen(describe, "r");
    char buffer[4096];
    for (std::size_t size = 0; pipe && (size = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;)
        text.append(buffer, size);
    if (pipe) ::pclose(pipe);
    return text;
}

struct Change {
    const char* name;
    bool (*make)();  // false: not allowed here
};
const Change changes[] = {
    {"no change", [] { return true; }},
    {"no new privileges", [] { return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0; }},
    {"a smaller bounding set", [] { return ::prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0) == 0; }},
    {"fewer capabilities",
     [] {
         __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
         __user_cap_data_struct data[2]{};
         if (::syscall(SYS_capget, &header, data) != 0 || data[0].permitted == 0) return false;
         data[0].inheritable = 0;
         data[0].effective = data[0].permitted = data[0].permitted & ~(1u << CAP_NET_ADMIN);
         return ::prctl(PR_SET_SECUREBITS, SECBIT_NOROOT, 0, 0, 0) == 0 && ::syscall(SYS_capset, &header, data) == 0;
     }},
    {"a system call filter", [] { return deny_system_calls({SYS_acct}, EPERM); }},
    {"one processor",
     [] {
         cpu_set_t mask;
         CPU_ZERO(&mask);
         CPU_SET(::sched_getcpu(), &mask);
         return ::sched_setaffinity(0, sizeof mask, &mask) == 0;
     }},
    {"another host name", [] { return ::unshare(CLONE_NEWUTS) == 0; }},
    {"a network of its own", [] { return ::unshare(CLONE_NEWNET) == 0; }},
    {"mounts of its own", [] { return ::unshare(CLONE_NEWNS) == 0; }},
    {"no further groups", [] { return ::setgroups(0, nullptr) == 0; }},
    {"another group", [] { return ::setresgid(65534, 65534, 65534) == 0; }},
    {"another mask for files", [] { return ::umask(027) != 027; }},
};

/// For a manager that cannot remove its own files later.
warden::ManagerConfig config_in(const TestDirectory& directory, warden::Mechanism mechanism) {
    warden::ManagerConfig config;
    config.mechanism = mechanism;
    config.data_directory = directory.path();
    config.handle_signals = false;
    return config;
}

/// Runs `part` in a process whose first thread has ended.
std::string without_first_thread(void (*part)(Checks&, warden::Mechanism), warden::Mechanism mechanism) {
    return in_subprocess([=](Checks& check) {
        std::thread([part, mechanism, check = Checks(check)]() mutable {
            check.that(eventually([] { return process_state(::getpid()) == 'Z'; }), "the first thread ends");
            try {
                part(check, mechanism);
            } catch (const std::exception& thrown) {
                check.failure(std::string("it threw: ") + thrown.what());
            }
            ::_exit(0);
        }).detach();
        ::syscall(SYS_exit, 0);
    });
}

}  // namespace

TEMPLATE_TEST_CASE("start: a child is confined as the program is when it starts it", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    for (const Change& change : changes) {
        INFO(change.name);
        const std::string failures = in_subprocess([&](Checks& check) {
            TestManager manager{TestType::mechanism};
            check.that(manager->run({"true"}).status.success(), "a start before");
            if (!change.make()) return;
            const std::string wanted = of_fork();
            for (int i = 0; i < 2; ++i) {
                const auto result = manager->run(warden::CommandLine::shell(describe));
                check.that(result.out == wanted, "wanted:\n" + wanted + "found:\n" + result.out + result.err);
            }
        });
        CHECK(failures == "");
    }
}

TEMPLATE_TEST_CASE("start: what one thread has done to itself is for its own children, not those of others", "[start]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([&](Checks& check) {
        TestManager manager{TestType::mechanism};
        const auto host_name = warden::CommandLine::shell("readlink /proc/self/ns/uts");
        const std::string before = manager->run(host_name).out;
        std::string apart;
        bool is_allowed = false;
        std::thread([&] {
            is_allowed = ::unshare(CLONE_NEWUTS) == 0;
            apart = manager->run(host_name).out;
        }).join();
        check.that((apart != before) == is_allowed, "the thread's child is in the thread's namespace");
        check.that(manager->run(host_name).out == before, "that of another is not");
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("start: after a change of root no program of outside runs", "[start]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(::geteuid() == 0, "only root may change its root directory");
    const TestDirectory root;
    const std::string failures = in_subprocess([&](Checks& check) {
        warden::ProcessManager manager(config_in(root, TestType::mechanism));
        check.that(manager.run({"/bin/true"}).status.success(), "a start before");
        if (!check.that(::chroot(root.path().c_str()) == 0 && ::chdir("/") == 0, "chroot")) return;
        warden::SpawnOptions options;
        options.stdin_ = warden::Input::inherit;  // there is no null device
        options.stdout_ = options.stderr_ = warden::Output::capture;
        warden::error_code ec;
        const auto result = manager.run({"/bin/true"}, options, {}, ec);
        check.that(static_cast<bool>(ec), "a start after it fails: " + result.status.to_string());
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("start: it works after the first thread of the program has ended, and a stop asks first",
                   "[start][stop]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const TestDirectory directory;
    static std::string fifo;
    fifo = directory / "fifo";
    const std::string failures = without_first_thread(
        [](Checks& check, warden::Mechanism mechanism) {
            TestManager manager{mechanism};
            Handshake handshake(fifo);
            ::umask(027);
            const auto result = manager->run(victim("limits"));
            check.that(result.out.find("umask 027\n") != std::string::npos, "the mask for files: " + result.out);
            auto process = manager->spawn(victim(handshake, "trap-slowly", "1"));
            check.that(handshake.pid() > 0, "it runs");
            check.that(!process.tree().empty(), "its tree is listed");
            check.that(process.stop().clean() && process.exit_status()->code() == 0, "it was asked to end");
        },
        TestType::mechanism);
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("start: what is promised for processes of other users follows the rights of the program",
                   "[start][containment]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    SKIP_UNLESS(::geteuid() == 0, "only root becomes another user");
    const TestDirectory directory;
    const std::string failures = in_subprocess([&](Checks& check) {
        warden::ProcessManager manager(config_in(directory, TestType::mechanism));
        check.that(manager.containment().covers_other_users, "root reaches all users");
        if (!check.that(::setresuid(65534, 65534, 65534) == 0, "another user")) return;
        check.that(!manager.containment().covers_other_users, "another user does not");
    });
    CHECK(failures == "");
}
