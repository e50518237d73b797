// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A file that output is copied to, on Windows; see output_file.hpp.

#include <warden/detail/system/host_system.hpp>
#include <warden/detail/system/pipe_windows.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_WINDOWS
#include <cstddef>
#include <filesystem>
#include <string_view>

namespace warden::detail {

using OutputFile = UniqueHandle;

[[nodiscard]] inline OutputFile open_output_file(const std::filesystem::path& path, bool appends,
                                                 error_code& ec) noexcept {
    OutputFile file;
    if (appends || open_to_write(path, false)) file = open_to_write(path, true);  // the first one empties it
    ec = file ? error_code() : system_code(static_cast<int>(::GetLastError()));
    return file;
}

[[nodiscard]] inline std::size_t write_output(const OutputFile& file, std::string_view text) noexcept {
    return write_whole(file.get(), text);
}

}  // namespace warden::detail
#endif
