// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The first processes of the trees in control groups, in memory that the guardian can read when the host has ended: a
/// leader that left its group is no child of anybody whom the guardian knows.
///
/// Knows:         a pid, and the number that the kernel gave to that process alone (pidfs, Linux 6.9).
/// Does not know: leaders on older kernels; in doubt a process is not ours.
/// Thread-safety: safe.
/// Errors:        a leader that is not noted is only found where it belongs.

#include <warden/detail/launch/child_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/fwd.hpp>

#if WARDEN_OS_LINUX
#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace warden::detail {

/// The number that only this process ever has, from a pidfd of it; 0 where the kernel has none.
[[nodiscard]] WARDEN_IN_CHILD inline std::uint64_t pidfs_number(int pidfd) noexcept;

/// As it stands in the table.
struct NotedLeader {
    std::int32_t pid;  ///< 0: none.
    std::int32_t unused;
    std::uint64_t number;
};

class LeaderTable {
public:
    static constexpr std::size_t capacity = std::size_t{1} << 16;

    LeaderTable() noexcept;
    LeaderTable(const LeaderTable&) = delete;
    LeaderTable& operator=(const LeaderTable&) = delete;
    ~LeaderTable() {
        if (entries_) ::munmap(entries_, capacity * sizeof(NotedLeader));
    }

    /// The file behind the memory, for the guardian; -1 if there is none.
    [[nodiscard]] int file() const noexcept { return file_.get(); }

    /// Notes a leader. Where it stands, or -1.
    [[nodiscard]] int add(Pid pid, int pidfd);
    /// It has ended; before it is reaped.
    void remove(int place) noexcept;

private:
    UniqueFd file_;
    NotedLeader* entries_ = nullptr;
    std::mutex mutex_;
    std::vector<int> free_;
    std::size_t used_ = 0;
};

// -- implementation ----------------------------------------------------------

WARDEN_IN_CHILD inline std::uint64_t pidfs_number(int pidfd) noexcept {
    constexpr auto pidfs_magic = 0x50494446;
    struct statfs system {};
    struct stat status {};
    const bool known =
        pidfd >= 0 && ::fstatfs(pidfd, &system) == 0 && system.f_type == pidfs_magic && ::fstat(pidfd, &status) == 0;
    return known ? status.st_ino : 0;
}

inline LeaderTable::LeaderTable() noexcept
    : file_(static_cast<int>(raw(SYS_memfd_create, "warden-leaders", 1u))) {  // MFD_CLOEXEC
    constexpr std::size_t bytes = capacity * sizeof(NotedLeader);
    const bool has_room = file_ && ::ftruncate(file_.get(), static_cast<off_t>(bytes)) == 0;
    void* const memory =
        has_room ? ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0) : MAP_FAILED;
    if (memory != MAP_FAILED) entries_ = static_cast<NotedLeader*>(memory);
    else file_.reset();
}

inline int LeaderTable::add(Pid pid, int pidfd) {
    const std::uint64_t number = entries_ ? pidfs_number(pidfd) : 0;
    if (number == 0) return -1;
    const std::lock_guard lock(mutex_);
    int place = static_cast<int>(used_);
    if (!free_.empty()) {
        place = free_.back();
        free_.pop_back();
    } else if (used_ < capacity) {
        free_.reserve(++used_);  // `remove` must not fail
    } else {
        return -1;
    }
    NotedLeader& entry = entries_[place];
    entry.number = number;
    std::atomic_ref(entry.pid).store(static_cast<std::int32_t>(pid), std::memory_order_release);
    return place;
}

inline void LeaderTable::remove(int place) noexcept {
    if (place < 0) return;
    const std::lock_guard lock(mutex_);
    std::atomic_ref(entries_[place].pid).store(0, std::memory_order_release);
    free_.push_back(place);
}

}  // namespace warden::detail
#endif
