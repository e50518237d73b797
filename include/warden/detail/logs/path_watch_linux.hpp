// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `PathWatch` by inotify(7); see path_watch.hpp.

#include <warden/platform.hpp>

#if WARDEN_OS_LINUX
#include <warden/detail/logs/path_watch.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>
#include <warden/timeout.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <utility>

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

namespace warden::detail {

/// See `WatchesPaths`.
class PathWatch {
public:
    PathWatch() noexcept = default;

    [[nodiscard]] static PathWatch open(std::filesystem::path directory, error_code& ec);

    explicit operator bool() const noexcept { return static_cast<bool>(queue_); }

    using Handle = int;

    [[nodiscard]] Handle handle() const noexcept { return queue_.get(); }

    void drain() noexcept;
    bool watch_directory(bool for_new_files, error_code& ec) noexcept;
    bool watch_file(const std::filesystem::path& path, const LogStatus& found, error_code& ec) noexcept;
    void forget_file() noexcept;
    bool wait_until(SteadyTime deadline, error_code& ec) const noexcept;

private:
    void note(const ::inotify_event& event) noexcept;

    UniqueFd queue_;
    std::filesystem::path name_;
    int directory_ = -1;
    bool for_new_files_ = false;
    int file_ = -1;
    FileIdentity identity_;
};

// -- implementation ----------------------------------------------------------
inline PathWatch PathWatch::open(std::filesystem::path directory, error_code& ec) {
    PathWatch watch;
    watch.name_ = std::move(directory);
    watch.queue_.reset(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    if (!watch.queue_) ec = system_code(errno);
    else watch.watch_directory(false, ec);
    return ec ? PathWatch() : std::move(watch);
}

inline bool PathWatch::watch_directory(bool for_new_files, error_code& ec) noexcept {
    ec.clear();
    if (directory_ >= 0 && for_new_files_ == for_new_files) return false;
    const std::uint32_t events =
        IN_ONLYDIR | IN_DELETE_SELF | IN_MOVE_SELF | (for_new_files ? IN_CREATE | IN_MOVED_TO : 0u);
    directory_ = ::inotify_add_watch(queue_.get(), name_.c_str(), events);  // the same watch if it has one
    if (directory_ < 0) ec = system_code(errno);
    for_new_files_ = for_new_files;
    return directory_ >= 0;
}

inline bool PathWatch::watch_file(const std::filesystem::path& path, const LogStatus& found, error_code& ec) noexcept {
    ec.clear();
    if (file_ >= 0 && identity_ == found.identity) return false;
    forget_file();
    // Removed, renamed and exchanged files say so themselves.
    file_ = ::inotify_add_watch(queue_.get(), path.c_str(), IN_DONT_FOLLOW | IN_MODIFY | IN_ATTRIB | IN_MOVE_SELF);
    identity_ = found.identity;
    if (file_ < 0 && errno != ENOENT) ec = system_code(errno);
    return !ec;
}

inline void PathWatch::forget_file() noexcept {
    if (file_ >= 0) (void)::inotify_rm_watch(queue_.get(), file_);
    file_ = -1;
}

inline void PathWatch::drain() noexcept {
    alignas(::inotify_event) std::array<char, 4096> events;
    for (::ssize_t size; (size = ::read(queue_.get(), events.data(), events.size())) > 0;) {
        for (std::size_t at = 0; at < static_cast<std::size_t>(size);) {
            ::inotify_event event{};
            std::memcpy(&event, events.data() + at, sizeof event);
            note(event);
            at += sizeof event + event.len;
        }
    }
}

inline void PathWatch::note(const ::inotify_event& event) noexcept {
    const bool overflow = (event.mask & IN_Q_OVERFLOW) != 0;  // the end of a watch may be among what was lost
    const bool ended = overflow || (event.mask & IN_IGNORED) != 0;
    if (ended && (overflow || event.wd == file_)) file_ = -1;
    if (overflow || (event.wd == directory_ && (event.mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF)) != 0)) {
        if ((event.mask & IN_MOVE_SELF) != 0) (void)::inotify_rm_watch(queue_.get(), directory_);
        directory_ = -1;
    }
}

inline bool PathWatch::wait_until(SteadyTime deadline, error_code& ec) const noexcept {
    using std::chrono::milliseconds;
    ec.clear();
    for (;;) {
        const auto left = deadline - std::chrono::steady_clock::now();
        if (left <= left.zero()) return false;
        const auto left_ms =
            std::chrono::ceil<milliseconds>(std::min<Nanoseconds>(left, std::chrono::hours(1))).count();
        ::pollfd queue{queue_.get(), POLLIN, 0};
        const int ready = ::poll(&queue, 1, static_cast<int>(left_ms));
        if (ready > 0) return true;
        if (ready == 0 || errno == EINTR) continue;
        ec = system_code(errno);
        return false;
    }
}

static_assert(WatchesPaths<PathWatch>);

}  // namespace warden::detail
#endif
