// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What is done to a control group through its files, by the host and by the guardian alike.
///
/// Knows:         cgroup.kill, cgroup.procs, cgroup.threads, chmod(2) and rmdir(2), through descriptors of directories;
///                that the members may own the directories, and have done with them what they liked.
/// Does not know: the heap, paths. Async-signal-safe throughout.
/// Waits:         never.

#include <warden/detail/launch/child_linux.hpp>

#if WARDEN_OS_LINUX
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

namespace warden::detail {

/// Opens `name` in the group `directory`. Where the owner's rights to either were taken away they are given back first.
/// A negative errno on failure.
WARDEN_IN_CHILD inline long open_in_group(int directory, const char* name, int flags) noexcept;

/// Writes `text` to a file of the group. An errno, or 0.
WARDEN_IN_CHILD inline int write_in_group(int directory, const char* name, const char* text) noexcept;

/// Kills all that is in the control group `directory` and in all groups beneath it, by `cgroup.kill`. That reaches
/// neither a process whose first thread has ended nor, with EOPNOTSUPP, the members of a threaded group. An errno, or
/// 0.
WARDEN_IN_CHILD inline int kill_group(int directory) noexcept { return write_in_group(directory, "cgroup.kill", "1"); }

/// Kills one by one the processes that the group `directory` and those beneath it list. `name` is a component of its
/// path that no other group has.
WARDEN_IN_CHILD inline void kill_listed(int directory, const char* name) noexcept;

/// Removes all groups beneath `directory`. Whether none is left.
WARDEN_IN_CHILD inline bool remove_groups_below(int directory) noexcept;

/// Calls `each` with the numbers in `list`, which is "cgroup.procs" or "cgroup.threads". An errno, or 0.
using ListedProcess = void (*)(int pid, void* context);
WARDEN_IN_CHILD inline int for_each_listed(int directory, const char* list, ListedProcess each, void* context);

/// Calls `visit` with the directory of the group and of each beneath it, at any depth up to `max_group_depth`; with
/// `removes`, each beneath it is removed after those beneath that. Whether all were reached, and removed.
using GroupVisit = void (*)(int directory, void* context);
WARDEN_IN_CHILD inline bool walk_groups(int top, GroupVisit visit, void* context, bool removes = false);

// -- implementation ----------------------------------------------------------

/// Gives the owner back the rights to what is behind `file`. An errno, or 0.
WARDEN_IN_CHILD inline int restore_mode(int file) noexcept {
    struct stat status {};
    if (const long failed = stat_descriptor(file, status)) return static_cast<int>(-failed);
    return static_cast<int>(-raw(SYS_fchmod, file, (status.st_mode & 07777u) | 0700u));
}

WARDEN_IN_CHILD inline long open_in_group(int directory, const char* name, int flags) noexcept {
    constexpr int most = 16;  // a member may take them away at the same time
    for (int tries = 0;; ++tries) {
        const long file = raw(SYS_openat, directory, name, flags | O_CLOEXEC | O_NOFOLLOW, 0);
        if (file != -EACCES || tries == most) return file;
        restore_mode(directory);
        raw(SYS_fchmodat, directory, name, 0700);
    }
}

WARDEN_IN_CHILD inline int write_in_group(int directory, const char* name, const char* text) noexcept {
    const long file = open_in_group(directory, name, O_WRONLY);
    if (file < 0) return static_cast<int>(-file);
    long size = 0;
    while (text[size] != '\0') ++size;
    const long written = raw(SYS_write, file, text, size);
    raw(SYS_close, file);
    return written < 0 ? static_cast<int>(-written) : 0;
}

WARDEN_IN_CHILD inline int for_each_listed(int directory, const char* list, ListedProcess each, void* context) {
    const long file = open_in_group(directory, list, O_RDONLY);
    if (file < 0) return static_cast<int>(-file);
    char text[4096];
    int value = 0;
    long size = 0;
    while ((size = raw(SYS_read, file, text, sizeof text)) > 0) {
        for (long i = 0; i < size; ++i) {
            if (text[i] >= '0' && text[i] <= '9') {
                value = value * 10 + (text[i] - '0');
            } else {
                if (value > 0) each(value, context);
                value = 0;
            }
        }
    }
    raw(SYS_close, file);
    return static_cast<int>(-size);
}

/// How deep groups may be nested. The kernel's memory for such a chain grows with the square: here it is a gigabyte.
inline constexpr int max_group_depth = 16384;

/// Where a walk is within one directory.
struct GroupFrame {
    std::uint64_t next;  ///< The offset of the entry after `name`.
    char name[256];      ///< The group beneath that was entered last.
};

/// Finds the next directory in `listing`, from where that stands. It then stands behind the entry. 1, 0 if there is
/// none, or a negative errno.
WARDEN_IN_CHILD inline long next_group(int listing, GroupFrame& frame) noexcept {
    alignas(8) char entries[2048];
    long size = 0;
    while ((size = raw(SYS_getdents64, listing, entries, sizeof entries)) > 0) {
        for (long at = 0; at < size;) {
            const char* entry = entries + at;
            const char* name = entry + 19;
            at += static_cast<unsigned char>(entry[16]) | static_cast<unsigned char>(entry[17]) << 8;
            const bool is_directory = entry[18] == 4;
            if (!is_directory || (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))) continue;
            for (unsigned i = 0; i < sizeof frame.next; ++i) reinterpret_cast<char*>(&frame.next)[i] = entry[8 + i];
            std::size_t length = 0;
            for (; name[length] != '\0' && length + 1 < sizeof frame.name; ++length) frame.name[length] = name[length];
            frame.name[length] = '\0';
            raw(SYS_lseek, listing, frame.next, SEEK_SET);
            return 1;
        }
    }
    return size == -ENOENT ? 0 : size;  // the directory was removed
}

WARDEN_IN_CHILD inline bool walk_groups(int top, GroupVisit visit, void* context, bool removes) {
    constexpr std::size_t bytes = sizeof(GroupFrame) * max_group_depth;
    if (visit) visit(top, context);
    struct stat status {};
    if (stat_descriptor(top, status) == 0 && status.st_nlink == 2) return true;  // none beneath, the usual case
    long listing = open_in_group(top, ".", O_RDONLY | O_DIRECTORY);
    if (listing < 0) return false;
    void* const memory =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool all = memory != MAP_FAILED;
    auto* const frames = static_cast<GroupFrame*>(memory);
    int depth = 0;
    constexpr int most = 1 << 20;  // members that make groups all the time do not keep this here for ever
    for (int steps = 0; all && listing >= 0; ++steps) {
        GroupFrame& frame = frames[depth];
        const long found = next_group(static_cast<int>(listing), frame);
        if (found < 0 || steps == most) {
            all = false;
            break;
        }
        if (found > 0) {
            if (removes && raw(SYS_unlinkat, listing, frame.name, AT_REMOVEDIR) == 0) continue;
            const long below = depth + 1 < max_group_depth
                                   ? open_in_group(static_cast<int>(listing), frame.name, O_RDONLY | O_DIRECTORY)
                                   : -ENAMETOOLONG;
            if (below == -ENOENT) continue;
            if (below < 0) {
                all = false;
                break;
            }
            raw(SYS_close, listing);
            listing = below;
            ++depth;
            if (visit) visit(static_cast<int>(listing), context);
            continue;
        }
        if (depth == 0) break;
        const long above = open_in_group(static_cast<int>(listing), "..", O_RDONLY | O_DIRECTORY);
        raw(SYS_close, listing);
        listing = above;
        if (above < 0) break;
        --depth;
        raw(SYS_lseek, above, frames[depth].next, SEEK_SET);
        if (removes) raw(SYS_unlinkat, above, frames[depth].name, AT_REMOVEDIR);
    }
    all = all && depth == 0 && listing >= 0;
    if (removes && all) all = stat_descriptor(static_cast<int>(listing), status) == 0 && status.st_nlink == 2;
    if (listing >= 0) raw(SYS_close, listing);
    if (memory != MAP_FAILED) ::munmap(memory, bytes);
    return all;
}

WARDEN_IN_CHILD inline bool remove_groups_below(int directory) noexcept {
    return walk_groups(directory, nullptr, nullptr, true);
}

/// Whether /proc says that `pid`, a process or a thread, is in another group than one with `name` in its path. What
/// cannot be read says nothing.
WARDEN_IN_CHILD inline bool is_in_other_group(int pid, const char* name) noexcept {
    char path[32] = "/proc/";
    char digits[12];
    int count = 0;
    std::size_t end = 6;
    for (int left = pid; left > 0; left /= 10) digits[count++] = static_cast<char>('0' + left % 10);
    while (count > 0) path[end++] = digits[--count];
    for (const char* rest = "/cgroup"; *rest != '\0'; ++rest) path[end++] = *rest;
    path[end] = '\0';
    const long file = raw(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return false;
    char text[8192];
    const long size = raw(SYS_read, file, text, sizeof text);
    raw(SYS_close, file);
    if (size <= 0) return false;
    for (long at = 0; at < size; ++at) {
        long same = 0;
        while (name[same] != '\0' && at + same < size && text[at + same] == name[same]) ++same;
        if (name[same] == '\0') return false;
    }
    return size < static_cast<long>(sizeof text);
}

/// Kills the process that a list of the group named. A pidfd holds it while it is looked at again; a thread, which has
/// none on older kernels, goes by its number.
WARDEN_IN_CHILD inline void kill_listed_process(int pid, void* name) noexcept {
    const long held = raw(SYS_pidfd_open, pid, 0);
    if (!is_in_other_group(pid, static_cast<const char*>(name))) {
        const long sent = held >= 0 ? raw(SYS_pidfd_send_signal, held, SIGKILL, nullptr, 0) : -EINVAL;
        if (sent < 0 && sent != -ESRCH) raw(SYS_kill, pid, SIGKILL);
    }
    if (held >= 0) raw(SYS_close, held);
}

WARDEN_IN_CHILD inline void kill_listed_in_group(int directory, void* name) noexcept {
    for (const char* list : {"cgroup.procs", "cgroup.threads"})
        static_cast<void>(for_each_listed(directory, list, kill_listed_process, name));
}

WARDEN_IN_CHILD inline void kill_listed(int directory, const char* name) noexcept {
    static_cast<void>(walk_groups(directory, kill_listed_in_group, const_cast<char*>(name)));
}

}  // namespace warden::detail
#endif
