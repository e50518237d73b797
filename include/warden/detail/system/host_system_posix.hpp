// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the program is, to POSIX systems; see host_system.hpp.

#include <warden/detail/system/host_system.hpp>
#include <warden/fwd.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include <poll.h>
#include <unistd.h>

namespace warden::detail {

inline Pid current_pid() noexcept { return static_cast<Pid>(::getpid()); }

inline bool is_superuser() noexcept { return ::geteuid() == 0; }

inline std::filesystem::path default_data_directory() {
    if (const char* state = environment_variable("XDG_STATE_HOME"); state && *state == '/') {
        return std::filesystem::path(state) / "warden";
    }
    if (const char* home = environment_variable("HOME"); home && *home == '/') {
        return std::filesystem::path(home) / ".local/state/warden";
    }
    return std::filesystem::path("/tmp") / ("warden-" + std::to_string(::geteuid()));
}

inline bool is_writable(std::filesystem::path directory) {
    std::error_code ec;
    while (!std::filesystem::exists(directory, ec) && directory.has_relative_path())
        directory = directory.parent_path();
    return std::filesystem::is_directory(directory, ec) && ::access(directory.c_str(), W_OK | X_OK) == 0;
}

inline std::size_t copy_to(int descriptor, std::string_view text) noexcept {
    while (!text.empty()) {
        const ssize_t size = ::write(descriptor, text.data(), text.size());
        if (size >= 0) {
            text.remove_prefix(static_cast<std::size_t>(size));
        } else if (errno == EAGAIN) {
            struct pollfd room = {descriptor, POLLOUT, 0};
            ::poll(&room, 1, -1);
        } else if (errno != EINTR) {
            break;
        }
    }
    return text.size();
}

inline void call_at_exit(void (*f)()) {
    std::atexit(f);
    std::at_quick_exit(f);
}

}  // namespace warden::detail
#endif
