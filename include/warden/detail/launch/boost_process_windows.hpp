// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The door to Boost.Process v2 on Windows: its launcher makes the child, its initializers have their say.
///
/// Knows:         the launch protocol: any type with some of `on_setup`, `on_success`, `on_error` is an initializer;
///                what changed in the launcher from Boost 1.81 to 1.86.
/// Does not know: what our own initializer sets; launcher.hpp does.
/// Thread-safety: belongs to one launch.
/// Errors:        the launcher's codes.

#include <warden/detail/launch/launch_extension_windows.hpp>
#include <warden/detail/system/api_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
// Boost.Process 1.81 uses these and does not include them.
#include <boost/asio/detail/throw_error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/optional.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/stdio.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace warden::detail {

/// What initializers see: flags, environment, handles, and the new process once there is one.
using BoostLauncher = boost::process::v2::windows::default_launcher;
using BoostPath = boost::process::v2::filesystem::path;

/// Calls the launcher with `initializer`, which replaces the command line, and lets go of what the launcher returns:
/// the initializer's `on_success` takes a handle of its own.
template <class Initializer>
[[nodiscard]] error_code launch_by_boost(BoostLauncher& launcher, boost::asio::io_context& context,
                                         const std::filesystem::path& program, Initializer& initializer) {
    error_code ec;
    auto process =
        launcher(context.get_executor(), ec, BoostPath(program.native()), std::vector<std::wstring>(), initializer);
    static_cast<void>(process.detach());
    return ec;
}

/// From Boost 1.84 on the launcher has a list of handles, and sets the attribute from it, in our attribute list.
template <class Launcher>
inline constexpr bool launcher_lists_handles = requires(Launcher& launcher) {
    launcher.inherited_handles;
};

/// Names the handles that the child inherits, if the launcher wants to know; else says that there are some.
template <class Launcher>
void set_inherited(Launcher& launcher, const std::vector<HANDLE>& handles) {
    if constexpr (launcher_lists_handles<Launcher>) {
        launcher.inherited_handles = handles;
    } else {
        launcher.inherit_handles = !handles.empty();
    }
}

/// The handles that initializers have added, if the launcher keeps them.
template <class Launcher>
[[nodiscard]] std::vector<HANDLE> added_handles(const Launcher& launcher) {
    if constexpr (launcher_lists_handles<Launcher>) return launcher.inherited_handles;
    else return {};
}

/// The user's initializers.
template <class... Initializers>
class BoostExtension final : public LaunchExtension {
public:
    explicit BoostExtension(Initializers&... initializers) : initializers_(initializers...) {}

    /// One that sets some sets all: those of this program, where it has no other.
    std::array<bool, 3> streams() const noexcept override {
        bool found = false;
        std::apply(
            [&](const auto&... initializer) {
                ((found = found || requires { initializer.in.h, initializer.out.h, initializer.err.h; }), ...);
            },
            initializers_);
        return {found, found, found};
    }

    error_code on_setup(void* launcher, const std::filesystem::path& program, std::wstring& command_line) override {
        error_code ec;
        each(launcher, program, [&](auto& initializer, BoostLauncher& known, const BoostPath& path) {
            if constexpr (requires { initializer.on_setup(known, path, command_line); }) {
                if (!ec) ec = initializer.on_setup(known, path, command_line);
            }
        });
        return ec;
    }

    void on_success(void* launcher, const std::filesystem::path& program, std::wstring& command_line) override {
        each(launcher, program, [&](auto& initializer, BoostLauncher& known, const BoostPath& path) {
            if constexpr (requires { initializer.on_success(known, path, command_line); }) {
                initializer.on_success(known, path, command_line);
            }
        });
    }

    void on_error(void* launcher, const std::filesystem::path& program, std::wstring& command_line,
                  const error_code& code) override {
        each(launcher, program, [&](auto& initializer, BoostLauncher& known, const BoostPath& path) {
            if constexpr (requires { initializer.on_error(known, path, command_line, code); }) {
                initializer.on_error(known, path, command_line, code);
            }
        });
    }

private:
    template <class F>
    void each(void* launcher, const std::filesystem::path& program, F f) {
        const BoostPath path(program.native());
        auto& known = *static_cast<BoostLauncher*>(launcher);
        std::apply([&](auto&... initializer) { (f(initializer, known, path), ...); }, initializers_);
    }

    std::tuple<Initializers&...> initializers_;
};

}  // namespace warden::detail
#endif
