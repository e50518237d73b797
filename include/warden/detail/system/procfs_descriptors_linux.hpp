// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Reads from /proc which pipes and sockets a process has open, and which sockets listen.
///
/// Knows:         /proc/<pid>/fd; the tables tcp, tcp6 and unix of proc_net(5).
/// Thread-safety: safe. What vanishes while it is read is left out.
/// Errors:        absent values: what belongs to another user cannot be read; for sockets that listen an `error_code`.

#include <warden/detail/system/procfs_linux.hpp>

#if WARDEN_OS_LINUX
#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <sys/stat.h>

namespace warden::detail::procfs {

/// A descriptor of a pipe, named or not, or of a socket.
struct Holding {
    int descriptor = -1;
    bool is_socket = false;
    bool writes = false;
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
};

struct ListeningSocket {
    std::uint64_t inode = 0;
    bool is_unix = false;
    std::string address;  ///< "127.0.0.1:80", "[::]:80", "/run/socket", "@abstract"
};

[[nodiscard]] inline std::vector<Holding> holdings(Pid pid);

/// In the network namespace of `pid`. `ec` says why there may be more.
[[nodiscard]] inline std::vector<ListeningSocket> listening_sockets(Pid pid, error_code& ec);

/// Calls `each` with the inode of every socket that `pid` has open. Why there may be more.
template <class F>
inline error_code for_each_socket(Pid pid, F each);

// -- implementation ----------------------------------------------------------

inline std::vector<Holding> holdings(Pid pid) {
    std::vector<Holding> found;
    const std::string directory = "/proc/" + std::to_string(pid) + "/fd";
    for_each_entry(directory, [&](std::string_view name) {
        const auto number = to_number<int>(name);
        if (!number) return;
        const std::string path = directory + '/' + std::string(name);
        struct stat target {};
        struct stat link {};
        if (::stat(path.c_str(), &target) != 0 || ::lstat(path.c_str(), &link) != 0) return;
        if (!S_ISFIFO(target.st_mode) && !S_ISSOCK(target.st_mode)) return;
        found.push_back(
            {*number, S_ISSOCK(target.st_mode), (link.st_mode & S_IWUSR) != 0, target.st_dev, target.st_ino});
    });
    return found;
}

/// The words of a line of a table.
[[nodiscard]] inline std::vector<std::string_view> words(std::string_view line) {
    std::vector<std::string_view> found;
    for (std::size_t at = line.find_first_not_of(' '); at != std::string_view::npos;) {
        const auto end = std::min(line.find(' ', at), line.size());
        found.push_back(line.substr(at, end - at));
        at = line.find_first_not_of(' ', end);
    }
    return found;
}

[[nodiscard]] inline std::uint32_t hex_number(std::string_view text) noexcept {
    std::uint32_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return value;
}

/// "0100007F:1F90" as people write it; the address is in words of four bytes, each in the order of this machine.
[[nodiscard]] inline std::string tcp_address(std::string_view text) {
    const auto colon = text.find(':');
    if (colon != 8 && colon != 32) return std::string(text);
    std::array<std::uint32_t, 4> address{};
    for (std::size_t i = 0; i < colon / 8; ++i) address[i] = hex_number(text.substr(i * 8, 8));
    std::array<char, INET6_ADDRSTRLEN> readable{};
    ::inet_ntop(colon == 8 ? AF_INET : AF_INET6, address.data(), readable.data(), readable.size());
    const std::string host(readable.data());
    return (colon == 8 ? host : '[' + host + ']') + ':' + std::to_string(hex_number(text.substr(colon + 1)));
}

/// Calls `each` with the words of every line but the first. Why there may be more; a table of a protocol that this
/// system does not have is no error.
template <class F>
inline error_code for_each_row(const std::string& path, F each) {
    constexpr std::size_t largest_table = std::size_t{1} << 26;
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return errno == ENOENT ? error_code() : system_code(errno);
    error_code ec;
    const std::string table = read_open(file.get(), largest_table, ec);
    for (std::size_t at = table.find('\n'); at != std::string::npos && at + 1 < table.size();) {
        const auto end = std::min(table.find('\n', at + 1), table.size());
        each(words(std::string_view(table).substr(at + 1, end - at - 1)));
        at = end;
    }
    return ec;
}

template <class F>
inline error_code for_each_socket(Pid pid, F each) {
    constexpr std::string_view prefix = "socket:[";
    const std::string directory = "/proc/" + std::to_string(pid) + "/fd";
    return for_each_entry(directory, [&](std::string_view name) {
        std::array<char, 64> text{};
        const std::string path = directory + '/' + std::string(name);
        const auto size = ::readlink(path.c_str(), text.data(), text.size());
        if (size <= 0) return;
        std::string_view target(text.data(), static_cast<std::size_t>(size));
        if (!target.starts_with(prefix) || !target.ends_with(']')) return;
        target.remove_prefix(prefix.size());
        target.remove_suffix(1);
        if (const auto inode = to_number<std::uint64_t>(target)) each(*inode);
    });
}

inline std::vector<ListeningSocket> listening_sockets(Pid pid, error_code& ec) {
    std::vector<ListeningSocket> found;
    const std::string directory = "/proc/" + std::to_string(pid) + "/net/";
    const auto note = [&ec](const error_code& failed) {
        if (failed) ec = failed;
    };
    ec.clear();
    if (::access(directory.c_str(), X_OK) != 0) ec = system_code(errno);
    for (const char* table : {"tcp", "tcp6"}) {
        note(for_each_row(directory + table, [&](const std::vector<std::string_view>& row) {
            if (row.size() < 10 || row[3] != "0A") return;  // TCP_LISTEN
            found.push_back({to_number<std::uint64_t>(row[9]).value_or(0), false, tcp_address(row[1])});
        }));
    }
    note(for_each_row(directory + "unix", [&](const std::vector<std::string_view>& row) {
        constexpr std::uint32_t accepts = 0x10000;  // __SO_ACCEPTCON
        if (row.size() < 7 || (hex_number(row[3]) & accepts) == 0) return;
        // The rest of the line: a path may hold spaces.
        std::string address = row.size() > 7 ? std::string(row[7].begin(), row.back().end()) : "without a name";
        found.push_back({to_number<std::uint64_t>(row[6]).value_or(0), true, std::move(address)});
    }));
    return found;
}

}  // namespace warden::detail::procfs
#endif
