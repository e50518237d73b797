// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Listeners of Linux, by the tables of proc_net(5) and the descriptors of proc_pid_fd(5); see listeners.hpp, which
/// includes this.
///
/// Thread-safety: safe.

#include <warden/detail/system/listeners.hpp>

#if WARDEN_OS_LINUX
#include <warden/detail/system/host_system.hpp>
#include <warden/detail/system/procfs_descriptors_linux.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <sys/stat.h>

namespace warden::detail {

// -- implementation ----------------------------------------------------------

/// The addresses at which a listener answers who connects to `host`, the closest first, as the tables have them.
[[nodiscard]] inline std::vector<std::string> addresses_that_answer(const std::string& host) {
    std::array<unsigned char, sizeof(in6_addr)> address{};
    if (::inet_pton(AF_INET, host.c_str(), address.data()) == 1)
        return {host, "[::ffff:" + host + ']', "0.0.0.0", "[::]"};
    if (::inet_pton(AF_INET6, host.c_str(), address.data()) != 1) return {};
    std::array<char, INET6_ADDRSTRLEN> text{};
    ::inet_ntop(AF_INET6, address.data(), text.data(), text.size());
    return {'[' + std::string(text.data()) + ']', "[::]"};
}

inline std::vector<Listener> tcp_listeners(std::uint16_t port, std::string_view host, error_code& ec) {
    std::vector<Listener> at_port;
    const std::string suffix = ':' + std::to_string(port);
    for (auto& socket : procfs::listening_sockets(current_pid(), ec)) {
        if (!socket.is_unix && socket.address.ends_with(suffix))
            at_port.push_back({socket.inode, std::move(socket.address)});
    }
    if (host.empty()) return at_port;
    for (const std::string& address : addresses_that_answer(std::string(host))) {
        std::vector<Listener> found;
        for (const Listener& listener : at_port) {
            if (listener.address == address + suffix) found.push_back(listener);
        }
        if (!found.empty()) return found;
    }
    return {};
}

inline std::vector<Listener> unix_listeners(std::string_view path, error_code& ec) {
    std::vector<Listener> found;
    for (auto& socket : procfs::listening_sockets(current_pid(), ec)) {
        if (socket.is_unix && socket.address == path) found.push_back({socket.inode, std::move(socket.address)});
    }
    return found;
}

/// Whether the process is there no more, so that it holds nothing.
[[nodiscard]] inline bool is_gone(const error_code& ec) noexcept {
    namespace errc = boost::system::errc;
    return ec == errc::no_such_file_or_directory || ec == errc::no_such_process;
}

inline void add_holdings(Pid pid, const std::vector<Listener>& listeners, std::vector<ListenerHolder>& found,
                         error_code& ec) {
    const error_code failed = procfs::for_each_socket(pid, [&](std::uint64_t inode) {
        for (const Listener& listener : listeners) {
            if (listener.id == inode) found.push_back({pid, inode});
        }
    });
    if (!failed || is_gone(failed)) return;
    const auto stat = procfs::read_stat(pid);
    if (stat && !procfs::has_ended(*stat)) ec = failed;
}

inline std::vector<ListenerHolder> holders_among(const std::vector<Pid>& pids, const std::vector<Listener>& listeners,
                                                 error_code& ec) {
    std::vector<ListenerHolder> found;
    ec.clear();
    for (const Pid pid : pids) add_holdings(pid, listeners, found, ec);
    return found;
}

inline std::vector<ListenerHolder> holders_of(const std::vector<Listener>& listeners, error_code& ec) {
    std::vector<ListenerHolder> found;
    ec.clear();
    const error_code unlisted = procfs::for_each_process([&](Pid pid) { add_holdings(pid, listeners, found, ec); });
    if (unlisted) ec = unlisted;
    return found;
}

inline bool shares_network(Pid pid, error_code& ec) {
    struct ::stat own {};
    struct ::stat other {};
    ec.clear();
    const std::string path = "/proc/" + std::to_string(pid) + "/ns/net";
    if (::stat("/proc/self/ns/net", &own) != 0 || ::stat(path.c_str(), &other) != 0) {
        ec = system_code(errno);
        return false;
    }
    return own.st_ino == other.st_ino && own.st_dev == other.st_dev;
}

}  // namespace warden::detail
#endif
