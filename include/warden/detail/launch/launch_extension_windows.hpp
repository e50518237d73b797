// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a program may add to a launch: the Boost.Process initializers that it passes to `spawn`, behind one interface.
///
/// Knows:         when they are called.
/// Does not know: Boost.Process; boost_launch.hpp does.
/// Thread-safety: belongs to one launch, and is called by the thread that launches.

#include <warden/error.hpp>
#include <warden/fwd.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <array>
#include <filesystem>
#include <string>

namespace warden::detail {

/// `launcher` is a `boost::process::v2::windows::default_launcher`.
class LaunchExtension {
public:
    virtual ~LaunchExtension() = default;

    /// Which of stdin, stdout and stderr it sets.
    [[nodiscard]] virtual std::array<bool, 3> streams() const noexcept = 0;

    /// Before the child is made, when the launcher has all of our settings: they may be changed.
    [[nodiscard]] virtual error_code on_setup(void* launcher, const std::filesystem::path& program,
                                              std::wstring& command_line) = 0;
    /// The child is there and in its job, and has not run yet.
    virtual void on_success(void* launcher, const std::filesystem::path& program, std::wstring& command_line) = 0;
    /// No child could be made, or it has been ended again before it ran.
    virtual void on_error(void* launcher, const std::filesystem::path& program, std::wstring& command_line,
                          const error_code& code) = 0;
};

}  // namespace warden::detail
#endif
