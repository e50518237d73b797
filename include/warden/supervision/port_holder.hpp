// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A process that listens at a port or a Unix socket.
///
/// Thread-safety: values.

#include <warden/fwd.hpp>
#include <warden/process_info.hpp>

#include <optional>
#include <string>

namespace warden {

struct PortHolder {
    Pid pid = 0;                    ///< 0: somebody whose descriptors this program may not look at.
    std::string command{};          ///< As the system lists it.
    std::string address{};          ///< "127.0.0.1:3000", "[::]:3000", "/run/socket"
    std::optional<Uuid> process{};  ///< The process of the manager in whose tree it is; nothing for a stranger.

    /// "pid 12345 (python app.py)"
    [[nodiscard]] std::string to_string() const {
        if (pid == 0) return "a process that this program may not look at";
        return "pid " + std::to_string(pid) + (command.empty() ? "" : " (" + command + ')');
    }
};

}  // namespace warden
