// SPDX-License-Identifier: MIT
// What scenarios with real processes have on POSIX systems besides: the victim, handshakes, /proc, the census.
#pragma once

#include <support/census.hpp>
#include <support/handshake.hpp>
#include <support/process.hpp>
#include <support/scenario.hpp>
#include <support/subprocess.hpp>

#include <concepts>
#include <string>
#include <utility>
#include <vector>

namespace support {

/// A command for the victim: `victim("exit", "3")`.
template <std::convertible_to<std::string>... Words>
[[nodiscard]] warden::CommandLine victim(Words&&... words) {
    return warden::CommandLine(WARDEN_TEST_VICTIM,
                               std::vector<std::string>{std::string(std::forward<Words>(words))...});
}

/// The same, announcing itself on `handshake`.
template <class... Words>
[[nodiscard]] warden::CommandLine victim(const Handshake& handshake, Words&&... words) {
    return victim("--ready", handshake.path(), std::forward<Words>(words)...);
}

}  // namespace support
