// SPDX-License-Identifier: MIT
// Initializers of Boost.Process v2, for the tests of starts that have some.
#pragma once

#include <support/scenario.hpp>

#include <boost/process/v2/default_launcher.hpp>

#include <stdexcept>
#include <string>
#include <vector>

namespace support {

using BoostLauncher = boost::process::v2::default_process_launcher;
using BoostPath = boost::process::v2::filesystem::path;

#if WARDEN_OS_WINDOWS
[[nodiscard]] inline long long pid_of(const BoostLauncher& launcher) {
    return launcher.process_information.dwProcessId;
}
#else
[[nodiscard]] inline long long pid_of(const BoostLauncher& launcher) { return launcher.pid; }
#endif

/// Notes what it is told, and can refuse.
struct Witness {
    std::vector<std::string>* told;
    warden::error_code setup_refusal{};
    warden::error_code exec_refusal{};  // asked for in the child, where there is one before the program

    template <class Path, class Line>
    warden::error_code on_setup(BoostLauncher&, const Path&, const Line&) {
        told->push_back("setup");
        return setup_refusal;
    }
    template <class Path, class Line>
    warden::error_code on_exec_setup(BoostLauncher&, const Path&, const Line&) {
        return exec_refusal;
    }
    template <class Path, class Line>
    void on_success(BoostLauncher& launcher, const Path&, const Line&) {
        told->push_back("success " + std::to_string(pid_of(launcher)));
    }
    template <class Path, class Line>
    void on_error(BoostLauncher&, const Path&, const Line&, const warden::error_code& ec) {
        told->push_back("error " + std::to_string(ec.value()));
    }
};

/// The error of a start that must fail; fails the test if it does not.
template <class F>
[[nodiscard]] warden::SpawnError error_of(F start) {
    try {
        const auto process = start();
    } catch (const warden::SpawnError& error) {
        return error;
    }
    FAIL("it started");
    throw std::logic_error("not reached");
}

}  // namespace support
