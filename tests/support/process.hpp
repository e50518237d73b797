// SPDX-License-Identifier: MIT
// What /proc says of a process.
#pragma once

#include <support/basics.hpp>

#include <string>

#include <sys/types.h>

namespace support {

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

/// The directory of a manager's group, whose name begins with `name`; empty if there is none.
[[nodiscard]] std::string control_group_of(const std::string& name);

}  // namespace support
