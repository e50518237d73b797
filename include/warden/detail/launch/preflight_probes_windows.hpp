// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What preflight checks ask Windows.
///
/// Thread-safety: safe.
/// Errors:        words with advice, codes, absent values.

#include <warden/detail/launch/environment_windows.hpp>
#include <warden/detail/launch/program_search_windows.hpp>
#include <warden/detail/launch/spawn_failure.hpp>
#include <warden/detail/system/api_windows.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/detail/system/utf16_windows.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_WINDOWS
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace warden::detail {

/// Why no program of this name, or at this path if it is one, can be executed, and what to do; nothing if one can.
[[nodiscard]] inline std::optional<std::string> why_not_executable(const std::string& name) {
    error_code ec;
    const std::wstring wide = to_utf16(name, ec);
    if (ec) return quoted(name) + " is no valid UTF-8; correct it";
    const FoundProgram found = find_program(wide, own_environment(), {});
    if (!found.error) return std::nullopt;
    if (found.error == boost::system::errc::permission_denied)
        return quoted(name) + " is a directory; give the path of a program";
    if (!is_searched(wide)) return quoted(name) + " is missing; install it or correct the path";
    return quoted(name) +
           " is in no directory of PATH; install it, or add its directory to PATH, or give the full path";
}

/// Why no file can be made in `directory`: one is made that goes when it is closed.
[[nodiscard]] inline error_code probe_writable(const std::filesystem::path& directory) {
    const auto file = directory / (L".warden-preflight-" + std::to_wstring(::GetCurrentProcessId()) + L'-' +
                                   std::to_wstring(::GetCurrentThreadId()));
    const UniqueHandle made(::CreateFileW(file.c_str(), GENERIC_WRITE | DELETE, 0, nullptr, CREATE_NEW,
                                          FILE_ATTRIBUTE_HIDDEN | FILE_FLAG_DELETE_ON_CLOSE, nullptr));
    return made ? error_code() : last_code();
}

/// The physical memory that is free, by GlobalMemoryStatusEx.
[[nodiscard]] inline std::optional<std::uint64_t> available_memory() {
    MEMORYSTATUSEX status{};
    status.dwLength = sizeof status;
    if (!::GlobalMemoryStatusEx(&status)) return std::nullopt;
    return status.ullAvailPhys;
}

/// Why bind refuses that TCP port of `host`; `errc::invalid_argument` if that is no numeric address.
[[nodiscard]] inline error_code probe_port(std::uint16_t port, const std::string& host) {
    error_code ec;
    const auto address = boost::asio::ip::make_address(host, ec);
    if (ec) return make_error_code(boost::system::errc::invalid_argument);
    boost::asio::io_context context;
    boost::asio::ip::tcp::acceptor acceptor(context);
    const boost::asio::ip::tcp::endpoint endpoint(address, port);
    acceptor.open(endpoint.protocol(), ec);
    if (!ec) acceptor.bind(endpoint, ec);
    return ec;
}

}  // namespace warden::detail
#endif
