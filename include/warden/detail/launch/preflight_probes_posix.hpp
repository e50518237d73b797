// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What preflight checks ask a POSIX system.
///
/// Thread-safety: safe, as far as nobody changes the environment meanwhile.
/// Errors:        words with advice, codes, absent values.

#include <warden/detail/launch/spawn_failure.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_POSIX
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail {

/// Why no program of this name, or at this path if it has a slash, can be executed, and what to do; nothing if one can.
[[nodiscard]] inline std::optional<std::string> why_not_executable(const std::string& name);

/// Why no file can be made in `directory`: one is made, hidden, and removed at once.
[[nodiscard]] inline error_code probe_writable(const std::filesystem::path& directory);

/// MemAvailable of /proc/meminfo in bytes; nothing if there is none.
[[nodiscard]] inline std::optional<std::uint64_t> available_memory();

/// Why bind(2) refuses that TCP port of `host`; `errc::invalid_argument` if that is no numeric address.
[[nodiscard]] inline error_code probe_port(std::uint16_t port, const std::string& host);

// -- implementation ----------------------------------------------------------

/// Why `path` cannot be executed; 0 if it can.
inline int execution_error(const std::filesystem::path& path) noexcept {
    struct ::stat status {};
    if (::stat(path.c_str(), &status) != 0) return errno;
    if (S_ISDIR(status.st_mode)) return EISDIR;
    if (!S_ISREG(status.st_mode)) return EACCES;
    return ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

inline std::optional<std::string> check_program_file(const std::filesystem::path& path) {
    const int error = execution_error(path);
    if (error == 0) return std::nullopt;
    if (error == EACCES) return quoted(path) + " may not be executed; is it a program? then: chmod +x";
    return quoted(path) + " cannot be executed (" + system_code(error).message() + "); install it or correct the path";
}

inline std::optional<std::string> why_not_executable(const std::string& name) {
    if (name.find('/') != std::string::npos) return check_program_file(name);
    const char* search_path = environment_variable("PATH");
    if (!search_path) return "PATH is not set, so " + quoted(name) + " cannot be found; set it or give the full path";
    std::optional<std::string> nearly;
    for (std::string_view rest = search_path; !name.empty() && !rest.empty();) {
        const std::string_view directory = rest.substr(0, rest.find(':'));
        rest.remove_prefix(std::min(directory.size() + 1, rest.size()));
        if (directory.empty()) continue;  // it would mean the working directory
        const std::filesystem::path candidate = std::filesystem::path(directory) / name;
        const int error = execution_error(candidate);
        if (error == 0) return std::nullopt;
        std::error_code ignored;
        if (error == EACCES && std::filesystem::is_regular_file(candidate, ignored))
            nearly = check_program_file(candidate);
    }
    if (nearly) return nearly;
    return quoted(name) + " is in no directory of PATH (" + search_path +
           "); install it, or add its directory to PATH, or give the full path";
}

inline error_code probe_writable(const std::filesystem::path& directory) {
    std::string file = (directory / ".warden-preflight-XXXXXX").string();
    const UniqueFd fd(::mkostemp(file.data(), O_CLOEXEC));
    if (!fd) return system_code(errno);
    ::unlink(file.c_str());
    return {};
}

inline std::optional<std::uint64_t> available_memory() {
    std::ifstream file("/proc/meminfo");
    std::string word;
    std::uint64_t kibibytes = 0;
    while (file >> word) {
        if (word == "MemAvailable:" && file >> kibibytes) return kibibytes * 1024;
    }
    return std::nullopt;
}

inline error_code probe_port(std::uint16_t port, const std::string& host) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (host.empty() || ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0)
        return system_code(EINVAL);
    const UniqueFd socket(::socket(found->ai_family, found->ai_socktype, found->ai_protocol));
    const int failed = !socket || ::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 ? errno : 0;
    ::freeaddrinfo(found);
    return system_code(failed);
}

}  // namespace warden::detail
#endif
