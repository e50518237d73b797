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
#include <warden/spawn_options.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>

/// For `SpawnOptions::preflight`: `{preflight::executable("python3"), preflight::port_free(3000)}`.
/// Paths that are relative are relative to the working directory of the program, not to that of the child.
namespace warden::preflight {

/// A program of this name is in the PATH of this program, or `name` is a path, to one that may be executed.
[[nodiscard]] WARDEN_INLINE PreflightCheck executable(const std::string& name);

/// Something that is not a directory is at `path`: a file, a device, a socket.
[[nodiscard]] WARDEN_INLINE PreflightCheck file_exists(const std::filesystem::path& path);

/// A directory is at `path`, and this program may make files in it: it makes one, hidden, and removes it at once.
[[nodiscard]] WARDEN_INLINE PreflightCheck directory_writable(const std::filesystem::path& path);

/// The variable is set in the environment of this program, and not empty. Its value appears nowhere.
[[nodiscard]] WARDEN_INLINE PreflightCheck environment_set(const std::string& name);

/// On the file system of `path` there are `bytes` free for this user. `path` need not exist yet: then the nearest
/// directory above it counts. `statvfs(3)`, `GetDiskFreeSpaceEx`
[[nodiscard]] WARDEN_INLINE PreflightCheck disk_space(const std::filesystem::path& path, std::uint64_t bytes);

/// The machine can give `bytes` of memory without swapping: MemAvailable of `proc_meminfo(5)`, on Windows
/// `GlobalMemoryStatusEx`. The limit of a container is not considered. Fails where the system does not tell.
[[nodiscard]] WARDEN_INLINE PreflightCheck memory_available(std::uint64_t bytes);

/// Nobody listens at this TCP port of `host`, a numeric address, as `bind(2)` without SO_REUSEADDR sees it: connections
/// that were closed a minute ago can hold a port too.
[[nodiscard]] WARDEN_INLINE PreflightCheck port_free(std::uint16_t port, const std::string& host = "127.0.0.1");

/// `holds` returns true. `name` says so in words; `advice` says what to do if not.
[[nodiscard]] WARDEN_INLINE PreflightCheck predicate(const std::string& name, std::function<bool()> holds,
                                                     std::string advice);

/// `command` succeeds when `manager` (a `ProcessManager`, which must outlive the check) runs it, within `timeout`. It
/// takes a place among the active processes meanwhile.
template <class Manager>
[[nodiscard]] PreflightCheck command_succeeds(Manager& manager, CommandLine command,
                                              Timeout timeout = std::chrono::seconds(10));

template <class Manager>
PreflightCheck command_succeeds(Manager& manager, CommandLine command, Timeout timeout) {
    std::string name = "'" + command.to_string() + "' succeeds";
    return {std::move(name), [&manager, command = std::move(command), timeout]() -> std::optional<std::string> {
                SpawnOptions options;
                options.timeout = timeout;
                const auto done = manager.run(command, std::move(options));
                if (done.success()) return std::nullopt;
                std::string said = done.err.substr(0, done.err.find_first_of("\r\n"));
                return done.status.to_string() + (said.empty() ? "" : ", it said: " + said) +
                       "; run it by hand to see why";
            }};
}

}  // namespace warden::preflight

// -- implementation ----------------------------------------------------------
#if WARDEN_HAS_BODIES
#include <warden/detail/launch/preflight_probes.hpp>
#include <warden/detail/launch/spawn_failure.hpp>
#include <warden/error.hpp>

#include <array>
#include <cstddef>
#include <string_view>
#include <system_error>

namespace warden::preflight {

namespace detail {

namespace fs = std::filesystem;

using warden::detail::quoted;

inline std::string why_missing(const std::error_code& failed) {
    return (failed ? failed : std::make_error_code(std::errc::no_such_file_or_directory)).message();
}

/// "4.5 GiB"
inline std::string size_in_words(std::uint64_t bytes) {
    constexpr std::array<std::string_view, 5> units{"bytes", "KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) return std::to_string(bytes) + " bytes";
    std::size_t unit = 0;
    std::uint64_t rest = 0;
    for (; bytes >= 1024 && unit + 1 < units.size(); ++unit, bytes /= 1024) rest = bytes % 1024;
    return std::to_string(bytes) + '.' + std::to_string(rest * 10 / 1024) + ' ' + std::string(units[unit]);
}

inline std::optional<std::string> check_file(const fs::path& path) {
    std::error_code failed;
    const fs::file_status status = fs::status(path, failed);
    if (fs::is_directory(status)) return quoted(path) + " is a directory; give the path of a file";
    if (fs::exists(status)) return std::nullopt;
    return quoted(path) + " is missing (" + why_missing(failed) + "); create it or correct the path";
}

inline std::optional<std::string> check_writable(const fs::path& path) {
    std::error_code failed;
    const fs::file_status status = fs::status(path, failed);
    if (!fs::exists(status))
        return "directory " + quoted(path) + " is missing (" + why_missing(failed) + "); create it: mkdir -p";
    if (!fs::is_directory(status)) return quoted(path) + " is not a directory; correct the path";
    const error_code ec = warden::detail::probe_writable(path);
    if (!ec) return std::nullopt;
    return "directory " + quoted(path) + " cannot be written to (" + ec.message() +
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

inline std::optional<std::string> check_memory(std::uint64_t bytes) {
    const auto available = warden::detail::available_memory();
    if (!available) return "the free memory is unknown: the system does not tell; leave this check out";
    if (*available >= bytes) return std::nullopt;
    return size_in_words(*available) + " of memory are available, " + size_in_words(bytes) +
           " are needed; end something that uses memory, or ask for less";
}

/// What to do about an address that cannot be bound.
inline std::string_view advice_for_bind(const error_code& ec) noexcept {
    namespace errc = boost::system::errc;
    if (ec == errc::address_in_use) return "end what uses it, or choose another port";
    if (ec == errc::permission_denied) return "ports below 1024 need a right; choose a higher one";
    if (ec == errc::address_not_available) return "no interface has this address; correct it";
    return "correct the address or choose another port";
}

inline std::optional<std::string> check_port(std::uint16_t port, const std::string& host) {
    const std::string place = "port " + std::to_string(port) + " on " + host;
    if (port == 0) return "port 0 is none; choose one from 1 to 65535";
    const error_code ec = warden::detail::probe_port(port, host);
    if (ec == boost::system::errc::invalid_argument)
        return place + " cannot be checked: " + quoted(host) + " is no numeric address; write for example 127.0.0.1";
    if (!ec) return std::nullopt;
    const std::string what = ec == boost::system::errc::address_in_use ? " is in use" : " is unavailable";
    return place + what + " (" + ec.message() + "); " + std::string(advice_for_bind(ec));
}

}  // namespace detail

WARDEN_INLINE PreflightCheck executable(const std::string& name) {
    return {name + " can be executed", [name] { return warden::detail::why_not_executable(name); }};
}

WARDEN_INLINE PreflightCheck file_exists(const std::filesystem::path& path) {
    return {"file " + path.string() + " exists", [path] { return detail::check_file(path); }};
}

WARDEN_INLINE PreflightCheck directory_writable(const std::filesystem::path& path) {
    return {"directory " + path.string() + " is writable", [path] { return detail::check_writable(path); }};
}

WARDEN_INLINE PreflightCheck environment_set(const std::string& name) {
    auto check = [name]() -> std::optional<std::string> {
        const char* value = warden::detail::environment_variable(name.c_str());
        if (value && *value != '\0') return std::nullopt;
        return "the environment variable " + name + (value ? " is empty" : " is not set") +
               "; export it before the start";
    };
    return {"environment variable " + name + " is set", std::move(check)};
}

WARDEN_INLINE PreflightCheck disk_space(const std::filesystem::path& path, std::uint64_t bytes) {
    return {detail::size_in_words(bytes) + " are free at " + path.string(),
            [path, bytes] { return detail::check_disk(path, bytes); }};
}

WARDEN_INLINE PreflightCheck memory_available(std::uint64_t bytes) {
    return {detail::size_in_words(bytes) + " of memory are available", [bytes] { return detail::check_memory(bytes); }};
}

WARDEN_INLINE PreflightCheck port_free(std::uint16_t port, const std::string& host) {
    return {"port " + std::to_string(port) + " on " + host + " is free",
            [port, host] { return detail::check_port(port, host); }};
}

WARDEN_INLINE PreflightCheck predicate(const std::string& name, std::function<bool()> holds, std::string advice) {
    auto check = [name, holds = std::move(holds), advice = std::move(advice)]() -> std::optional<std::string> {
        if (holds && holds()) return std::nullopt;
        return "the check '" + name + "' said no; " + advice;
    };
    return {name, std::move(check)};
}

}  // namespace warden::preflight
#endif
