// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What is done to a control group through its files, by the host and by the guardian alike.
///
/// Knows:         cgroup.kill and rmdir(2), through descriptors of directories.
/// Does not know: the heap, paths. Async-signal-safe throughout.

#include <warden/detail/launch/child_linux.hpp>

#if WARDEN_OS_LINUX
#include <fcntl.h>

namespace warden::detail {

/// Kills all that is in the control group `directory`, and all groups beneath it. An errno, or 0.
WARDEN_IN_CHILD inline int kill_group(int directory) noexcept;

/// Removes all groups beneath `directory`. Whether none is left.
WARDEN_IN_CHILD inline bool remove_groups_below(int directory, int depth = 0) noexcept;

// -- implementation ----------------------------------------------------------

WARDEN_IN_CHILD inline int kill_group(int directory) noexcept {
    const long file = raw(SYS_openat, directory, "cgroup.kill", O_WRONLY | O_CLOEXEC, 0);
    if (file < 0) return static_cast<int>(-file);
    const long written = raw(SYS_write, file, "1", 1L);
    raw(SYS_close, file);
    return written < 0 ? static_cast<int>(-written) : 0;
}

WARDEN_IN_CHILD inline bool remove_groups_below(int directory, int depth) noexcept {
    const long listing = raw(SYS_openat, directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (listing < 0) return false;
    bool all = true;
    alignas(8) char entries[2048];
    for (long size = 0; (size = raw(SYS_getdents64, listing, entries, sizeof entries)) > 0;) {
        for (long at = 0; at < size;) {
            const char* entry = entries + at;
            const char* name = entry + 19;
            at += static_cast<unsigned char>(entry[16]) | static_cast<unsigned char>(entry[17]) << 8;
            const bool is_directory = entry[18] == 4;
            if (!is_directory || (name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0')))) continue;
            if (raw(SYS_unlinkat, listing, name, AT_REMOVEDIR) == 0) continue;
            const long child = depth < 32 ? raw(SYS_openat, listing, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0) : -1;
            if (child < 0) {
                all = false;
                continue;
            }
            remove_groups_below(static_cast<int>(child), depth + 1);
            raw(SYS_close, child);
            if (raw(SYS_unlinkat, listing, name, AT_REMOVEDIR) != 0) all = false;
        }
    }
    raw(SYS_close, listing);
    return all;
}

}  // namespace warden::detail
#endif
