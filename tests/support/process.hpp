// SPDX-License-Identifier: MIT
// What /proc says of a process, and the only helper that waits.
#pragma once

#include <algorithm>
#include <chrono>
#include <string>

#include <poll.h>
#include <sys/types.h>

namespace support {

/// A whole file of /proc, or any other; empty if it cannot be read.
[[nodiscard]] std::string read_file(const std::string& path);

/// R, S, D, T, Z, ...; '\0' if there is no such process.
[[nodiscard]] char process_state(pid_t pid);

/// 0 if there is no such process.
[[nodiscard]] pid_t parent_of(pid_t pid);

/// Exists, and is no zombie.
[[nodiscard]] bool is_alive(pid_t pid);

/// "S, parent 12: /usr/bin/sleep 300"
[[nodiscard]] std::string describe_process(pid_t pid);

/// The directory of the control group v2 that this process is in; empty if there is none.
[[nodiscard]] std::string own_control_group();

/// Waits until `predicate()` holds. `patience` only bounds a failure.
template <class Predicate>
[[nodiscard]] bool eventually(Predicate predicate, std::chrono::milliseconds patience = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + patience;
    for (int pause_ms = 1;; pause_ms = std::min(pause_ms * 2, 20)) {
        if (predicate()) return true;
        if (std::chrono::steady_clock::now() >= end) return false;
        ::poll(nullptr, 0, pause_ms);
    }
}

}  // namespace support
