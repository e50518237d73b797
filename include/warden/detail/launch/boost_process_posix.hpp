// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Boost.Process v2 on POSIX systems: its initializers, served by our own launch.
///
/// Knows:         the launch protocol: any type with some of `on_setup`, `on_exec_setup`, `on_success`, `on_error`,
///                `on_fork_error` is an initializer; `process_stdio`, `bind_fd`, `process_start_dir` are such.
/// Does not know: how the child is made. It is not by fork(2), and no execution context is told of one.
/// Thread-safety: belongs to one launch. `on_exec_setup` runs in the child on memory shared with the program, while the
///                spawning thread waits: it must be async-signal-safe.

#include <warden/detail/launch/launch_extension_posix.hpp>

#if WARDEN_OS_POSIX
// Boost.Process 1.81 uses these and does not include them, the latter with BOOST_PROCESS_USE_STD_FS.
#include <boost/asio/detail/throw_error.hpp>
#include <boost/optional.hpp>
#include <boost/process/v2/posix/bind_fd.hpp>
#include <boost/process/v2/posix/default_launcher.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace warden::detail {

/// What initializers see: environment, descriptors to keep, the pid once it is known.
using BoostLauncher = boost::process::v2::posix::default_launcher;
using BoostPath = boost::process::v2::filesystem::path;

template <class... Initializers>
class BoostExtension final : public LaunchExtension {
public:
    explicit BoostExtension(Initializers&... initializers) : initializers_(initializers...) {}

    std::array<bool, 3> streams() const noexcept override {
        std::array<bool, 3> found{};
        const auto add = [&](const auto& binding) {
            if (binding.target < 3 && binding.fd != binding.target)
                found[static_cast<std::size_t>(binding.target)] = true;
        };
        each([&](const auto& initializer) {
            if constexpr (requires { initializer.in.fd, initializer.out.fd, initializer.err.fd; }) {  // process_stdio
                add(initializer.in);
                add(initializer.out);
                add(initializer.err);
            } else if constexpr (requires { initializer.target, initializer.fd; }) {  // bind_fd
                add(initializer);
            }
        });
        return found;
    }

    error_code prepare(const std::filesystem::path& program, const char* const*& argv, const char* const*& environment,
                       std::vector<int>& kept) override {
        program_ = program.native();
        argv_ = argv;
        launcher_.env = environment;
        error_code ec;
        each([&](auto& initializer) {
            using Initializer = std::remove_cvref_t<decltype(initializer)>;
            if constexpr (std::same_as<Initializer, boost::process::v2::posix::bind_fd>) {
                launcher_.fd_whitelist.push_back(
                    initializer.target);  // its own function lacks a return up to Boost 1.81
            } else if constexpr (requires { initializer.on_setup(launcher_, program_, argv_); }) {
                if (!ec) ec = initializer.on_setup(launcher_, program_, argv_);
            }
        });
        argv = argv_;
        environment = launcher_.env;
        kept = launcher_.fd_whitelist;
        return ec;
    }

    int run_in_child() noexcept override {
        error_code ec;
        each([&](auto& initializer) {
            if constexpr (requires { initializer.on_exec_setup(launcher_, program_, argv_); }) {
                if (!ec) ec = initializer.on_exec_setup(launcher_, program_, argv_);
            }
        });
        return ec.value();
    }

    void succeeded(Pid pid) override {
        launcher_.pid = pid;
        each([&](auto& initializer) {
            if constexpr (requires { initializer.on_success(launcher_, program_, argv_); }) {
                initializer.on_success(launcher_, program_, argv_);
            }
        });
    }

    void failed(const error_code& code, bool before_exec) override {
        each([&](auto& initializer) {
            if constexpr (requires { initializer.on_fork_error(launcher_, program_, argv_, code); }) {
                if (before_exec) initializer.on_fork_error(launcher_, program_, argv_, code);
            }
            if constexpr (requires { initializer.on_error(launcher_, program_, argv_, code); }) {
                initializer.on_error(launcher_, program_, argv_, code);
            }
        });
    }

private:
    template <class F>
    void each(F f) const {
        std::apply([&](auto&... initializer) { (f(initializer), ...); }, initializers_);
    }

    std::tuple<Initializers&...> initializers_;
    BoostLauncher launcher_;
    BoostPath program_;
    const char* const* argv_ = nullptr;
};

}  // namespace warden::detail
#endif
