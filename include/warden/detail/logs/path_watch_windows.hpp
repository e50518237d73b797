// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Wakes its owner when a file, or what is at its path, may have changed.
///
/// Knows:         ReadDirectoryChangesW, and that it is late: a file system may tell of a file that grew only when its
///                writer closes it or its data reach the disk. So a wait also ends after `look_interval`.
/// Does not know: what changed: the owner looks for himself. So a queue that overflowed loses nothing.
/// Thread-safety: one thread at a time.
/// Errors:        the system's code.
/// Allocates:     the name of the directory, a buffer of 4 KiB.

#include <warden/detail/system/api_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <warden/detail/logs/path_watch.hpp>
#include <warden/detail/system/long_path_windows.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/error.hpp>
#include <warden/timeout.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace warden::detail {

/// See `WatchesPaths`. Wakes for names that begin with that of the file.
class PathWatch {
public:
    using Handle = HANDLE;

    /// The longest wait without a look, because the system may say nothing.
    static constexpr std::chrono::milliseconds look_interval{100};

    PathWatch() noexcept = default;

    [[nodiscard]] static PathWatch open(const std::filesystem::path& directory, error_code& ec);

    explicit operator bool() const noexcept { return queue_ != nullptr; }

    /// An event that is signalled when there is something to look at; for an event loop, which looks every
    /// `look_interval` besides.
    [[nodiscard]] Handle handle() const noexcept { return queue_->signalled.get(); }

    void drain() noexcept;

    /// It is always watched for new files too.
    bool watch_directory(bool for_new_files, error_code& ec);

    /// The file needs no watch of its own: false.
    bool watch_file(const std::filesystem::path& path, const LogStatus& found, error_code& ec);

    void forget_file() noexcept {}

    bool wait_until(SteadyTime deadline, error_code& ec) const noexcept;

private:
    /// Stays where it is while the system writes to it.
    struct Queue {
        UniqueHandle signalled{};
        UniqueHandle directory{};
        FileIdentity identity{};
        std::wstring name{};  // of the file; empty: any
        ::OVERLAPPED pending{};
        alignas(std::uint64_t) std::array<char, 4096> changes{};

        Queue() noexcept = default;
        Queue(const Queue&) = delete;
        ~Queue() { stop(); }

        void resume() noexcept;
        void stop() noexcept;
        /// Takes what is there, and goes on. Whether it concerns the file.
        bool take() noexcept;
        [[nodiscard]] bool concerns(DWORD bytes) const noexcept;
    };

    std::wstring path_;
    std::unique_ptr<Queue> queue_;
};

// -- implementation ----------------------------------------------------------
inline PathWatch PathWatch::open(const std::filesystem::path& directory, error_code& ec) {
    PathWatch watch;
    watch.path_ = long_path(directory, ec);
    if (ec) return {};
    watch.queue_ = std::make_unique<Queue>();
    watch.queue_->signalled.reset(::CreateEventW(nullptr, TRUE, FALSE, nullptr));
    if (!watch.queue_->signalled) ec = last_error();
    else (void)watch.watch_directory(false, ec);
    return ec ? PathWatch() : std::move(watch);
}

inline bool PathWatch::watch_directory(bool, error_code& ec) {
    UniqueHandle found = open_existing(path_, FILE_LIST_DIRECTORY, share_all, FILE_FLAG_OVERLAPPED);
    ec = found ? error_code() : open_error();
    const LogStatus status = ec ? LogStatus{} : log_status(found, ec);
    if (!ec && !status.is_directory()) ec = condition_code(boost::system::errc::not_a_directory);
    if (!ec && queue_->directory && queue_->identity == status.identity) return false;
    queue_->stop();  // an open handle would keep the name of a directory that is removed
    if (ec) return false;
    queue_->directory = std::move(found);
    queue_->identity = status.identity;
    queue_->resume();
    if (!queue_->directory) ec = last_error();
    return !ec;
}

inline bool PathWatch::watch_file(const std::filesystem::path& path, const LogStatus&, error_code& ec) {
    ec.clear();
    queue_->name = path.filename().native();
    return false;
}

inline void PathWatch::drain() noexcept {
    if (queue_ && ::WaitForSingleObject(queue_->signalled.get(), 0) == WAIT_OBJECT_0) (void)queue_->take();
}

inline void PathWatch::Queue::resume() noexcept {
    constexpr DWORD all = FILE_NOTIFY_CHANGE_FILE_NAME | FILE_NOTIFY_CHANGE_SIZE | FILE_NOTIFY_CHANGE_LAST_WRITE |
                          FILE_NOTIFY_CHANGE_ATTRIBUTES | FILE_NOTIFY_CHANGE_CREATION;
    pending = {};
    pending.hEvent = signalled.get();
    ::ResetEvent(signalled.get());
    const bool goes_on = ::ReadDirectoryChangesW(directory.get(), changes.data(), static_cast<DWORD>(changes.size()),
                                                 FALSE, all, nullptr, &pending, nullptr) != 0;
    if (!goes_on) directory.reset();  // `watch_directory` says why
}

inline void PathWatch::Queue::stop() noexcept {
    DWORD bytes = 0;
    if (directory) {
        (void)::CancelIoEx(directory.get(), &pending);
        (void)::GetOverlappedResult(directory.get(), &pending, &bytes, TRUE);
    }
    directory.reset();
    if (signalled) ::ResetEvent(signalled.get());
}

inline bool PathWatch::Queue::take() noexcept {
    DWORD bytes = 0;
    if (!directory) return true;
    if (::GetOverlappedResult(directory.get(), &pending, &bytes, FALSE) == 0) {
        directory.reset();
        ::ResetEvent(signalled.get());
        return true;
    }
    const bool ours = concerns(bytes);
    resume();
    return ours || !directory;
}

inline bool PathWatch::Queue::concerns(DWORD bytes) const noexcept {
    if (bytes == 0 || name.empty()) return true;  // more than fits
    for (std::size_t at = 0; at < bytes;) {
        ::FILE_NOTIFY_INFORMATION change{};
        constexpr std::size_t name_at = offsetof(::FILE_NOTIFY_INFORMATION, FileName);
        std::memcpy(&change, changes.data() + at, name_at);
        const auto* const text = reinterpret_cast<const wchar_t*>(changes.data() + at + name_at);
        const std::size_t size = change.FileNameLength / sizeof(wchar_t);
        if (size >= name.size() && ::CompareStringOrdinal(text, static_cast<int>(name.size()), name.data(),
                                                          static_cast<int>(name.size()), TRUE) == CSTR_EQUAL) {
            return true;
        }
        if (change.NextEntryOffset == 0) break;
        at += change.NextEntryOffset;
    }
    return false;
}

inline bool PathWatch::wait_until(SteadyTime deadline, error_code& ec) const noexcept {
    using std::chrono::milliseconds;
    const SteadyTime look_at = deadline_after(std::chrono::steady_clock::now(), look_interval);
    ec.clear();
    for (;;) {
        const auto now = std::chrono::steady_clock::now();
        if (now >= deadline) return false;
        if (now >= look_at) return true;
        const auto left_ms = std::chrono::ceil<milliseconds>(std::min(deadline, look_at) - now).count();
        const DWORD result = ::WaitForSingleObject(queue_->signalled.get(), static_cast<DWORD>(left_ms));
        if (result == WAIT_OBJECT_0 && queue_->take()) return true;
        if (result != WAIT_FAILED) continue;
        ec = last_error();
        return false;
    }
}

static_assert(WatchesPaths<PathWatch>);

}  // namespace warden::detail
#endif
