// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a program may add to a launch: the Boost.Process initializers that it passes to `spawn`, behind one interface.
///
/// Knows:         when they are called.
/// Does not know: Boost.Process; `boost_launch.hpp` does.
/// Thread-safety: belongs to one launch.

#include <warden/error.hpp>
#include <warden/fwd.hpp>

#if WARDEN_OS_POSIX
#include <array>
#include <filesystem>
#include <vector>

namespace warden::detail {

class LaunchExtension {
public:
    virtual ~LaunchExtension() = default;

    /// Which of stdin, stdout and stderr it sets.
    [[nodiscard]] virtual std::array<bool, 3> streams() const noexcept = 0;

    /// Before the child is made. May replace arguments and environment, and add descriptors (3 and above) to keep.
    [[nodiscard]] virtual error_code prepare(const std::filesystem::path& program, const char* const*& argv,
                                             const char* const*& environment, std::vector<int>& kept) = 0;
    /// In the child, on memory shared with the program: async-signal-safe. An errno, or 0.
    [[nodiscard]] virtual int run_in_child() noexcept = 0;
    virtual void succeeded(Pid pid) = 0;
    /// `before_exec`: no child could be made at all.
    virtual void failed(const error_code& code, bool before_exec) = 0;
};

}  // namespace warden::detail
#endif
