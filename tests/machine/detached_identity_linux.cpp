// SPDX-License-Identifier: MIT
// Who a process is: a record of another process, boot or namespace never leads to a process that is not its own.
#include <warden/platform.hpp>

#if WARDEN_OS_LINUX
#include "output_log_directory.hpp"
#include <support/basics.hpp>
#include <support/catch.hpp>
#include <support/record.hpp>
#include <support/skip.hpp>
#include <warden/detail/detached/registry.hpp>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

using log_test::Directory;
using warden::DetachedRecord;
using warden::DetachedState;
using warden::error_code;
using warden::ProcessIdentity;
using namespace warden::detail;

namespace {

/// A child that waits to be killed.
class Sleeper {
public:
    Sleeper() : pid_(::fork()) {
        REQUIRE(pid_ >= 0);
        if (pid_ != 0) return;
        for (;;) ::pause();
    }
    Sleeper(const Sleeper&) = delete;
    ~Sleeper() {
        kill();
        reap();
    }

    [[nodiscard]] warden::Pid pid() const { return pid_; }
    void kill() const { ::kill(pid_, SIGKILL); }
    void reap() {
        if (!reaped_) ::waitpid(pid_, nullptr, 0);
        reaped_ = true;
    }
    [[nodiscard]] ProcessIdentity identity() const {
        const UniqueFd pidfd(static_cast<int>(raw(SYS_pidfd_open, pid_, 0)));
        return identify(own_pid_space(), pid_, pidfd.get());
    }

private:
    ::pid_t pid_;
    bool reaped_ = false;
};

Presence presence(const ProcessIdentity& identity) { return look_for(own_pid_space(), identity).presence; }

DetachedState state(const ProcessIdentity& shim) {
    const Directory data;
    error_code ec;
    std::string why;
    const Registry registry = Registry::open(data.path(), true, ec, why);
    DetachedRecord record = support::running_record();
    record.shim = shim;
    registry.write(record, ec);
    REQUIRE_FALSE(ec);
    return registry.read(record.uuid, ec).state;
}

}  // namespace

TEST_CASE("identity: a process is the one that it was, until it has ended, reaped or not") {
    Sleeper sleeper;
    const ProcessIdentity identity = sleeper.identity();
    CHECK(identity.pid == sleeper.pid());
    CHECK(identity.start_ticks != 0);
    CHECK(identity.namespaces != 0);
    CHECK(identity.boot_id.size() == 36);
    const Sighting seen = look_for(own_pid_space(), identity);
    CHECK(seen.presence == Presence::alive);
    CHECK(seen.pidfd);
    CHECK(state(identity) == DetachedState::running);
    sleeper.kill();
    CHECK(support::eventually([&] { return presence(identity) == Presence::ended; }));  // a zombie
    sleeper.reap();
    CHECK(presence(identity) == Presence::ended);
    CHECK(state(identity) == DetachedState::lost);
    CHECK(presence(own_identity()) == Presence::alive);
}

TEST_CASE("identity: a process with the same number is not the one that is looked for") {
    Sleeper innocent;
    ProcessIdentity identity = innocent.identity();
    if (identity.pidfs_inode != 0) {  // with the same start tick
        ++identity.pidfs_inode;
        CHECK(presence(identity) == Presence::ended);
        CHECK(state(identity) == DetachedState::lost);
        identity.pidfs_inode = 0;
    }
    CHECK(presence(identity) == Presence::alive);
    --identity.start_ticks;
    CHECK(presence(identity) == Presence::ended);
    CHECK(state(identity) == DetachedState::lost);
    identity.start_ticks = 0;
    CHECK(presence(identity) == Presence::unknown);  // nothing is proven
}

TEST_CASE("identity: a number that was given to another process is never taken for the former one") {
    const char* const last_pid = "/proc/sys/kernel/ns_last_pid";
    SKIP_UNLESS(::access(last_pid, W_OK) == 0, "the next pid cannot be chosen here");
    ProcessIdentity former;
    {
        const Sleeper sleeper;
        former = sleeper.identity();
    }
    bool reused = false;
    for (int attempt = 0; attempt < 50 && !reused; ++attempt) {
        std::ofstream(last_pid) << former.pid - 1;
        const Sleeper innocent;
        if (innocent.pid() != former.pid) continue;
        reused = true;
        SKIP_UNLESS(innocent.identity().pidfs_inode != 0 || innocent.identity().start_ticks != former.start_ticks,
                    "nothing tells the two apart before Linux 6.9");
        CHECK(presence(former) == Presence::ended);
        CHECK(state(former) == DetachedState::lost);
        CHECK(::kill(innocent.pid(), 0) == 0);
    }
    SKIP_UNLESS(reused, "the number was not given out again");
}

TEST_CASE("identity: what ran before the system started again is gone, though its number is in use") {
    const Sleeper innocent;
    ProcessIdentity identity = innocent.identity();
    identity.boot_id = "2f1c8a9e-0b1d-4e2f-9a3b-4c5d6e7f8091";
    CHECK(presence(identity) == Presence::other_boot);
    CHECK(state(identity) == DetachedState::gone);
    identity.boot_id.clear();
    CHECK(presence(identity) == Presence::unknown);
}

TEST_CASE("identity: a number of another namespace is foreign, though it is in use here") {
    const Sleeper innocent;
    ProcessIdentity identity = innocent.identity();
    ++identity.namespaces;
    CHECK(presence(identity) == Presence::other_namespace);
    CHECK(state(identity) == DetachedState::foreign);
    identity.namespaces = 0;
    CHECK(presence(identity) == Presence::unknown);
}

TEST_CASE("identity: a process that outlives its shim is reported with it") {
    const Directory data;
    error_code ec;
    std::string why;
    const Registry registry = Registry::open(data.path(), true, ec, why);
    const Sleeper left;
    DetachedRecord record = support::running_record();
    record.process = left.identity();
    {
        const Sleeper shim;
        record.shim = shim.identity();
    }
    registry.write(record, ec);
    const auto info = registry.read(record.uuid, ec);
    CHECK(info.state == DetachedState::lost);
    CHECK(info.process_alive);
    CHECK(info.problem == "its shim, pid " + std::to_string(record.shim.pid) +
                              ", ended without a record of how the process ended; the process, pid " +
                              std::to_string(left.pid()) + ", still runs");
}
#endif
