// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A file that output is copied to, on POSIX systems; see output_file.hpp.

#include <warden/detail/system/host_system.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_POSIX
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <string_view>

#include <fcntl.h>

namespace warden::detail {

using OutputFile = UniqueFd;

/// `mode`: O_APPEND, O_TRUNC, or both. Blocking, once it is open.
[[nodiscard]] inline UniqueFd open_to_write(const std::filesystem::path& path, int mode) noexcept {
    constexpr int always = O_WRONLY | O_CLOEXEC | O_NOCTTY | O_CREAT | O_NONBLOCK;
    UniqueFd file(::open(path.c_str(), always | mode, 0666));
    if (file) ::fcntl(file.get(), F_SETFL, mode & O_APPEND);
    return file;
}

[[nodiscard]] inline OutputFile open_output_file(const std::filesystem::path& path, bool appends,
                                                 error_code& ec) noexcept {
    OutputFile file = open_to_write(path, appends ? O_APPEND : O_APPEND | O_TRUNC);
    ec = file ? error_code() : system_code(errno);
    return file;
}

[[nodiscard]] inline std::size_t write_output(const OutputFile& file, std::string_view text) noexcept {
    return copy_to(file.get(), text);
}

}  // namespace warden::detail
#endif
