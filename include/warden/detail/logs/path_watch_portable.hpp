// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Logs cannot be followed on POSIX systems other than Linux: there, opening a watch says so.
///
/// Thread-safety: one thread at a time.
/// Errors:        `function_not_supported` from `open`; there is no other watch.
/// Allocates:     never.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX && !WARDEN_OS_LINUX
#include <warden/detail/logs/path_watch.hpp>
#include <warden/error.hpp>
#include <warden/timeout.hpp>

#include <filesystem>

namespace warden::detail {

/// See `WatchesPaths`.
class PathWatch {
public:
    using Handle = int;

    [[nodiscard]] static PathWatch open(const std::filesystem::path&, error_code& ec) noexcept {
        ec = unsupported();
        return {};
    }

    explicit operator bool() const noexcept { return false; }
    [[nodiscard]] Handle handle() const noexcept { return -1; }
    void drain() noexcept {}
    void forget_file() noexcept {}
    bool watch_directory(bool, error_code& ec) noexcept { return (ec = unsupported(), false); }
    bool watch_file(const std::filesystem::path&, const LogStatus&, error_code& ec) noexcept {
        return (ec = unsupported(), false);
    }
    bool wait_until(SteadyTime, error_code& ec) const noexcept { return (ec = unsupported(), false); }

private:
    static error_code unsupported() noexcept { return condition_code(boost::system::errc::function_not_supported); }
};

static_assert(WatchesPaths<PathWatch>);

}  // namespace warden::detail
#endif
