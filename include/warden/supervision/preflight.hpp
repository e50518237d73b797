// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Ready-made checks before a start: what must be there, and how to mend it if it is not.
///
/// Knows:         files, directories, disks, memory, ports, as they are at the moment of the check.
/// Does not know: processes; nothing is held, so what was there can be gone an instant later.
/// Thread-safety: distinct checks: safe. They read the environment of the program, as safely as `getenv(3)`.
/// Errors:        the message of a failed check; what the system does not answer is a failure too.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/unique_handle.hpp>
#include <warden/error.hpp>
#include <warden/spawn_options.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/// For `SpawnOptions::preflight`: `{preflight::executable("python3"), preflight::port_free(3000)}`.
/// Paths that are relative are relative to the working directory of the program, not to that of the child.
namespace warden::preflight {

/// A program of this name is in the PATH of this program, or `name` has a slash and is one that may be executed.
[[nodiscard]] inline PreflightCheck executable(const std::string& name);

/// Something that is not a directory is at `path`: a file, a device, a socket.
[[nodiscard]] inline PreflightCheck file_exists(const std::filesystem::path& path);

/// A directory is at `path`, and this program may make files in it: it makes one, hidden, and removes it at once.
[[nodiscard]] inline PreflightCheck directory_writable(const std::filesystem::path& path);

/// The variable is set in the environment of this program, and not empty. Its value appears nowhere.
[[nodiscard]] inline PreflightCheck environment_set(const std::string& name);

/// On the file system of `path` there are `bytes` free for this user. `path` need not exist yet: then the nearest
/// directory above it counts. `statvfs(3)`
[[nodiscard]] inline PreflightCheck disk_space(const std::filesystem::path& path, std::uint64_t bytes);

/// The machine can give `bytes` of memory without swapping: MemAvailable of `proc_meminfo(5)`. The limit of a container
/// is not considered. Fails where there is no /proc.
[[nodiscard]] inline PreflightCheck memory_available(std::uint64_t bytes);

/// Nobody listens at this TCP port of `host`, a numeric address, as `bind(2)` without SO_REUSEADDR sees it: connections
/// that were closed a minute ago can hold a port too.
[[nodiscard]] inline PreflightCheck port_free(std::uint16_t port, const std::string& host = "127.0.0.1");

/// `holds` returns true. `name` says so in words; `advice` says what to do if not.
[[nodiscard]] inline PreflightCheck predicate(const std::string& name, std::function<bool()> holds, std::string advice);

/// `command` succeeds when `manager` (a `ProcessManager`, which must outlive the check) runs it, within `timeout`. It
/// takes a place among the active processes meanwhile.
template <class Manager>
[[nodiscard]] PreflightCheck command_succeeds(Manager& manager, CommandLine command,
                                              Timeout timeout = std::chrono::seconds(10));

// -- implementation ----------------------------------------------------------
namespace detail {

namespace fs = std::filesystem;
using warden::detail::system_code;

inline std::string quoted(const std::string& text) { return "'" + text + "'"; }
inline std::string quoted(const fs::path& path) { return quoted(path.string()); }

/// "4.5 GiB"
inline std::string size_in_words(std::uint64_t bytes) {
    constexpr std::array<std::string_view, 5> units{"bytes", "KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) return std::to_string(bytes) + " bytes";
    std::size_t unit = 0;
    std::uint64_t rest = 0;
    for (; bytes >= 1024 && unit + 1 < units.size(); ++unit, bytes /= 1024) rest = bytes % 1024;
    return std::to_string(bytes) + '.' + std::to_string(rest * 10 / 1024) + ' ' + std::string(units[unit]);
}

/// Why `path` cannot be executed; 0 if it can.
inline int execution_error(const fs::path& path) noexcept {
    struct ::stat status {};
    if (::stat(path.c_str(), &status) != 0) return errno;
    if (S_ISDIR(status.st_mode)) return EISDIR;
    if (!S_ISREG(status.st_mode)) return EACCES;
    return ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

inline std::optional<std::string> check_program_file(const fs::path& path) {
    const int error = execution_error(path);
    if (error == 0) return std::nullopt;
    if (error == EACCES) return quoted(path) + " may not be executed; is it a program? then: chmod +x";
    return quoted(path) + " cannot be executed (" + system_code(error).message() + "); install it or correct the path";
}

inline std::optional<std::string> check_executable(const std::string& name) {
    if (name.find('/') != std::string::npos) return check_program_file(name);
    const char* search_path = warden::detail::environment_variable("PATH");
    if (!search_path) return "PATH is not set, so " + quoted(name) + " cannot be found; set it or give the full path";
    std::optional<std::string> nearly;
    for (std::string_view rest = search_path; !name.empty() && !rest.empty();) {
        const std::string_view directory = rest.substr(0, rest.find(':'));
        rest.remove_prefix(std::min(directory.size() + 1, rest.size()));
        if (directory.empty()) continue;  // it would mean the working directory
        const fs::path candidate = fs::path(directory) / name;
        const int error = execution_error(candidate);
        if (error == 0) return std::nullopt;
        std::error_code ignored;
        if (error == EACCES && fs::is_regular_file(candidate, ignored)) nearly = check_program_file(candidate);
    }
    if (nearly) return nearly;
    return quoted(name) + " is in no directory of PATH (" + search_path +
           "); install it, or add its directory to PATH, or give the full path";
}

inline std::optional<std::string> check_file(const fs::path& path) {
    struct ::stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        return quoted(path) + " is missing (" + system_code(errno).message() + "); create it or correct the path";
    }
    if (S_ISDIR(status.st_mode)) return quoted(path) + " is a directory; give the path of a file";
    return std::nullopt;
}

inline std::optional<std::string> check_writable(const fs::path& path) {
    struct ::stat status {};
    if (::stat(path.c_str(), &status) != 0) {
        return "directory " + quoted(path) + " is missing (" + system_code(errno).message() + "); create it: mkdir -p";
    }
    if (!S_ISDIR(status.st_mode)) return quoted(path) + " is not a directory; correct the path";
    std::string file = (path / ".warden-preflight-XXXXXX").string();
    if (const warden::detail::UniqueFd fd(::mkostemp(file.data(), O_CLOEXEC)); fd) {
        ::unlink(file.c_str());
        return std::nullopt;
    }
    return "directory " + quoted(path) + " cannot be written to (" + system_code(errno).message() +
           "); change its owner or mode, or choose another";
}

inline std::optional<std::string> check_disk(const fs::path& path, std::uint64_t bytes) {
    std::error_code failed;
    fs::path existing = fs::absolute(path, failed);
    while (!failed && !fs::exists(existing, failed) && !failed && existing.has_relative_path()) {
        existing = existing.parent_path();
    }
    const auto space = failed ? fs::space_info{} : fs::space(existing, failed);
    if (failed) return "the free space of " + quoted(path) + " is unknown (" + failed.message() + "); correct the path";
    if (space.available >= bytes) return std::nullopt;
    return "the disk of " + quoted(existing) + " has " + size_in_words(space.available) + " free, " +
           size_in_words(bytes) + " are needed; make room or choose another";
}

/// MemAvailable in bytes; nothing if the system does not say.
inline std::optional<std::uint64_t> available_memory() {
    std::ifstream file("/proc/meminfo");
    std::string word;
    std::uint64_t kibibytes = 0;
    while (file >> word) {
        if (word == "MemAvailable:" && file >> kibibytes) return kibibytes * 1024;
    }
    return std::nullopt;
}

inline std::optional<std::string> check_memory(std::uint64_t bytes) {
    const auto available = available_memory();
    if (!available) return "the free memory is unknown: no /proc/meminfo; mount /proc or leave this check out";
    if (*available >= bytes) return std::nullopt;
    return size_in_words(*available) + " of memory are available, " + size_in_words(bytes) +
           " are needed; end something that uses memory, or ask for less";
}

#if WARDEN_OS_LINUX
inline warden::detail::UniqueFd open_tcp_socket(int family) noexcept {
    return warden::detail::UniqueFd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
}
#else
inline warden::detail::UniqueFd open_tcp_socket(int family) noexcept {
    warden::detail::UniqueFd fd(::socket(family, SOCK_STREAM, 0));
    if (fd) (void)::fcntl(fd.get(), F_SETFD, FD_CLOEXEC);
    return fd;
}
#endif

/// What to do about an error of bind(2).
inline std::string_view advice_for_bind(int error) noexcept {
    if (error == EADDRINUSE) return "end what uses it, or choose another port";
    if (error == EACCES) return "ports below 1024 need a right; choose a higher one";
    if (error == EADDRNOTAVAIL) return "no interface has this address; correct it";
    return "correct the address or choose another port";
}

inline std::optional<std::string> check_port(std::uint16_t port, const std::string& host) {
    const std::string place = "port " + std::to_string(port) + " on " + host;
    if (port == 0) return "port 0 is none; choose one from 1 to 65535";
    ::addrinfo wanted{};
    wanted.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    wanted.ai_socktype = SOCK_STREAM;
    ::addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found) != 0) {
        return place + " cannot be checked: " + quoted(host) + " is no numeric address; write for example 127.0.0.1";
    }
    const std::unique_ptr<::addrinfo, void (*)(::addrinfo*)> address(found, ::freeaddrinfo);
    const auto fd = open_tcp_socket(address->ai_family);
    if (fd && ::bind(fd.get(), address->ai_addr, address->ai_addrlen) == 0) return std::nullopt;
    const int error = errno;
    const std::string what = error == EADDRINUSE ? " is in use" : " cannot be had";
    return place + what + " (" + system_code(error).message() + "); " + std::string(advice_for_bind(error));
}

}  // namespace detail

inline PreflightCheck executable(const std::string& name) {
    return {name + " can be executed", [name] { return detail::check_executable(name); }};
}

inline PreflightCheck file_exists(const std::filesystem::path& path) {
    return {"file " + path.string() + " exists", [path] { return detail::check_file(path); }};
}

inline PreflightCheck directory_writable(const std::filesystem::path& path) {
    return {"directory " + path.string() + " is writable", [path] { return detail::check_writable(path); }};
}

inline PreflightCheck environment_set(const std::string& name) {
    auto check = [name]() -> std::optional<std::string> {
        const char* value = warden::detail::environment_variable(name.c_str());
        if (value && *value != '\0') return std::nullopt;
        return "the environment variable " + name + (value ? " is empty" : " is not set") +
               "; export it before the start";
    };
    return {"environment variable " + name + " is set", std::move(check)};
}

inline PreflightCheck disk_space(const std::filesystem::path& path, std::uint64_t bytes) {
    return {detail::size_in_words(bytes) + " are free at " + path.string(),
            [path, bytes] { return detail::check_disk(path, bytes); }};
}

inline PreflightCheck memory_available(std::uint64_t bytes) {
    return {detail::size_in_words(bytes) + " of memory are available", [bytes] { return detail::check_memory(bytes); }};
}

inline PreflightCheck port_free(std::uint16_t port, const std::string& host) {
    return {"port " + std::to_string(port) + " on " + host + " is free",
            [port, host] { return detail::check_port(port, host); }};
}

inline PreflightCheck predicate(const std::string& name, std::function<bool()> holds, std::string advice) {
    auto check = [name, holds = std::move(holds), advice = std::move(advice)]() -> std::optional<std::string> {
        if (holds && holds()) return std::nullopt;
        return "the check '" + name + "' said no; " + advice;
    };
    return {name, std::move(check)};
}

template <class Manager>
PreflightCheck command_succeeds(Manager& manager, CommandLine command, Timeout timeout) {
    std::string name = "'" + command.to_string() + "' succeeds";
    return {std::move(name), [&manager, command = std::move(command), timeout]() -> std::optional<std::string> {
                SpawnOptions options;
                options.timeout = timeout;
                const auto done = manager.run(command, std::move(options));
                if (done.success()) return std::nullopt;
                std::string said = done.err.substr(0, done.err.find('\n'));
                return done.status.to_string() + (said.empty() ? "" : ", it said: " + said) +
                       "; run it by hand to see why";
            }};
}

}  // namespace warden::preflight
#endif
