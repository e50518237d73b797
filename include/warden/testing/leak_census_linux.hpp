// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Looks at what could be a leak: all descendants, and what they and this program have open.
///
/// Knows:         /proc; the helper processes of warden, which are left out.
/// Does not know: what was there before, and so what is a leak.
/// Thread-safety: safe. What comes and goes while it looks may be missed or seen.

#include <warden/detail/system/procfs_descriptors_linux.hpp>
#include <warden/testing/leak.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <array>
#include <cerrno>
#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

namespace warden::testing::detail {

namespace procfs = warden::detail::procfs;

/// Says of two findings, at different times, whether they are of the same thing.
struct LeakKey {
    LeakKind kind = LeakKind::process;  // also of a zombie: it is who it was
    Pid pid = 0;                        // not of a socket, which is the same whoever holds it
    std::uint64_t identity = 0;         // ticks at its start; an inode
    std::uint64_t more = 0;             // a descriptor; a device

    friend auto operator<=>(const LeakKey&, const LeakKey&) = default;  // NOLINT(modernize-use-nullptr): the 0 of <=>
};

struct LeakCensus {
    std::map<LeakKey, Leak> found;
    std::vector<procfs::Stat> descendants;  ///< Without helpers of warden.
};

[[nodiscard]] inline LeakCensus take_leak_census();

[[nodiscard]] inline bool is_zombie(const procfs::Stat& process) noexcept { return process.state == 'Z'; }

[[nodiscard]] inline LeakKey key_of(const procfs::Stat& process) noexcept {
    return {LeakKind::process, process.pid, process.start_ticks, 0};
}

// -- implementation ----------------------------------------------------------

/// A copy of this program that has not executed another one. Of one that is not dumpable, as the helpers are, an
/// ordinary user does not learn it; what is executed by a child of this user is dumpable.
[[nodiscard]] inline bool is_copy_of_this_program(const procfs::Stat& process) {
    if (is_zombie(process)) return true;  // nobody can tell any more
    struct stat ours {};
    struct stat theirs {};
    const std::string path = "/proc/" + std::to_string(process.pid) + "/exe";
    if (::stat(path.c_str(), &theirs) != 0) return errno == EACCES;
    return ::stat("/proc/self/exe", &ours) == 0 && ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev;
}

/// The guardian is a child of this program, keepers are children of the guardian. The watcher of the leak guard needs
/// no mention: it is there before anybody looks.
[[nodiscard]] inline bool is_helper(const procfs::Stat& process, const std::vector<Pid>& helpers) {
    constexpr std::array<std::string_view, 2> names{"warden-guardian", "warden-keeper"};
    if (std::find(names.begin(), names.end(), process.name) == names.end()) return false;
    const bool has_helper_above = std::find(helpers.begin(), helpers.end(), process.parent) != helpers.end();
    return (process.parent == ::getpid() || has_helper_above) && is_copy_of_this_program(process);
}

/// In a control group of a ProcessManager of this program: the manager waits for its leaders, nobody for the others.
[[nodiscard]] inline bool is_of_manager_group(Pid pid) {
    const std::string ours = procfs::control_group(::getpid());
    return !ours.empty() && procfs::control_group(pid).starts_with((ours == "/" ? "" : ours) + "/warden-");
}

/// The descendants, and whether each is to be left out as one of warden's own.
inline void take_processes(LeakCensus& census) {
    const Pid self = ::getpid();
    std::vector<Pid> helpers;
    error_code unlisted;
    const auto descendants = procfs::descendants(self, unlisted);
    if (unlisted) {
        census.found.emplace(
            LeakKey{LeakKind::unknown, self, 0, 0},
            Leak{LeakKind::unknown, self, 0, {}, "descendants cannot be listed: " + unlisted.message()});
    }
    for (const Pid pid : descendants) {
        auto process = procfs::read_stat(pid);
        if (!process || process->state == 'X') continue;
        if (is_zombie(*process) && !procfs::has_ended(*process)) process->state = 'S';  // only its first thread has
        if (is_helper(*process, helpers)) {
            helpers.push_back(pid);
            continue;
        }
        census.descendants.push_back(*process);
        const bool waited_for_by_warden =
            is_zombie(*process) && (std::find(helpers.begin(), helpers.end(), process->parent) != helpers.end() ||
                                    (process->parent == self && is_of_manager_group(pid)));
        if (waited_for_by_warden) continue;
        error_code unreadable;
        const auto member = procfs::member(pid, unreadable);
        census.found.emplace(key_of(*process), Leak{is_zombie(*process) ? LeakKind::zombie : LeakKind::process,
                                                    pid,
                                                    process->parent,
                                                    member ? member->command : process->name,
                                                    {}});
    }
}

/// A process with what it has open.
struct Holder {
    LeakKey key;
    Leak who;
    std::vector<procfs::Holding> holdings;
};

inline void take_sockets(LeakCensus& census, const std::vector<Holder>& holders) {
    std::map<std::string, std::vector<procfs::ListeningSocket>> tables;  // one for each network namespace
    for (const Holder& holder : holders) {
        for (const procfs::Holding& holding : holder.holdings) {
            if (!holding.is_socket) continue;
            char space[64] = {};
            const std::string link = "/proc/" + std::to_string(holder.who.pid) + "/ns/net";
            static_cast<void>(!::readlink(link.c_str(), space, sizeof space - 1));
            const auto [table, is_new] = tables.try_emplace(space);
            error_code unlisted;  // then what was seen before is compared with what is seen now
            if (is_new) table->second = procfs::listening_sockets(holder.who.pid, unlisted);
            for (const procfs::ListeningSocket& socket : table->second) {
                if (socket.inode != holding.inode) continue;
                Leak leak = holder.who;
                leak.kind = socket.is_unix ? LeakKind::unix_socket : LeakKind::tcp_port;
                leak.detail = socket.address;
                census.found.emplace(LeakKey{leak.kind, 0, socket.inode, 0}, std::move(leak));
            }
        }
    }
}

/// "standard output" or "descriptor 7", and which end it is.
[[nodiscard]] inline std::string describe_end(const procfs::Holding& holding) {
    constexpr std::array<std::string_view, 3> names{"the standard input", "the standard output", "the standard error"};
    const std::string name = holding.descriptor < 3 ? std::string(names[static_cast<std::size_t>(holding.descriptor)])
                                                    : "descriptor " + std::to_string(holding.descriptor);
    return name + (holding.writes ? ", the end for writing" : ", the end for reading");
}

/// What this program has open of a pipe.
struct OwnEnds {
    const procfs::Holding* reading = nullptr;
    const procfs::Holding* writing = nullptr;
};

/// Descriptors of this program, who is first among the holders; then those that hold the other end of one. Of those
/// that share its standard output it is said, for whoever reads that, as a test runner does, waits for them too.
inline void take_pipes(LeakCensus& census, const std::vector<Holder>& holders) {
    std::map<std::pair<std::uint64_t, std::uint64_t>, OwnEnds> ours;
    for (const Holder& holder : holders) {
        const bool is_self = &holder == &holders.front();
        for (const procfs::Holding& holding : holder.holdings) {
            if (holding.is_socket) continue;
            Leak leak = holder.who;
            leak.kind = LeakKind::pipe;
            leak.detail = describe_end(holding);
            LeakKey key{LeakKind::pipe, leak.pid, holding.inode, 0};
            if (is_self) {
                const procfs::Holding*& end = holding.writes ? ours[{holding.device, holding.inode}].writing
                                                             : ours[{holding.device, holding.inode}].reading;
                if (!end) end = &holding;
                key.more = static_cast<std::uint64_t>(holding.descriptor) + 1;
            } else {
                const auto shared = ours.find({holding.device, holding.inode});
                if (shared == ours.end()) continue;
                const auto [reading, writing] = shared->second;
                if (holding.writes && writing && writing->descriptor < 3) {
                    census.found[holder.key].detail = "holds the standard output of this program";
                }
                const procfs::Holding* const other = holding.writes ? reading : writing;
                if (!other) continue;
                leak.detail += ", of a pipe that is " + describe_end(*other) + ", here";
            }
            census.found.emplace(key, std::move(leak));
        }
    }
}

inline LeakCensus take_leak_census() {
    LeakCensus census;
    take_processes(census);
    std::vector<Holder> holders;
    const auto add = [&](const procfs::Stat& process) {
        error_code unreadable;
        const auto member = procfs::member(process.pid, unreadable);
        if (!member || is_zombie(process)) return;
        Leak who{LeakKind::process, process.pid, process.parent, member->command, {}};
        holders.push_back({key_of(process), std::move(who), procfs::holdings(process.pid)});
    };
    add(procfs::read_stat(::getpid()).value_or(procfs::Stat{}));
    for (const procfs::Stat& process : census.descendants) add(process);
    if (holders.empty()) return census;
    take_sockets(census, holders);
    take_pipes(census, holders);
    return census;
}

}  // namespace warden::testing::detail
#endif
