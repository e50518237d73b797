// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A directory of logs, of which some are to be removed.
///
/// Knows:         that a directory which is open without FILE_SHARE_DELETE cannot be replaced by a link meanwhile.
/// Does not know: which logs are to go.
/// Thread-safety: one thread at a time.
/// Errors:        the system's code.
/// Allocates:     names.

#include <warden/detail/system/api_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <warden/detail/logs/file_operations_windows.hpp>
#include <warden/detail/logs/log_access_windows.hpp>
#include <warden/detail/logs/log_directory.hpp>
#include <warden/detail/logs/log_owner_windows.hpp>
#include <warden/detail/logs/stored_file.hpp>
#include <warden/detail/logs/stream_mark_windows.hpp>
#include <warden/detail/system/long_path_windows.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/error.hpp>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// See `HoldsLogDirectory`.
class LogDirectory {
public:
    using Name = std::filesystem::path::string_type;

    using Removal = LogRemoval;

    LogDirectory() noexcept = default;

    [[nodiscard]] static LogDirectory open(const std::filesystem::path& root, error_code& ec);

    explicit operator bool() const noexcept { return !held_.empty(); }
    [[nodiscard]] LogDirectory below(const Name& name, error_code& ec) const;
    template <class Found>
    void for_each(error_code& ec, Found found) const;
    [[nodiscard]] std::optional<StoredFile> look_at(const Name& name) const;
    [[nodiscard]] Removal remove(const Name& name, const StoredFile& seen, error_code& ec) const;
    [[nodiscard]] bool remove_directory(const Name& name) const;

private:
    [[nodiscard]] static UniqueHandle hold(const std::wstring& path, DWORD flags, error_code& ec) noexcept;
    [[nodiscard]] static std::optional<StoredFile> look_at(const UniqueHandle& file);
    [[nodiscard]] std::wstring path_of(const Name& name) const { return path_ + L'\\' + name; }

    std::wstring path_;
    std::vector<std::shared_ptr<const UniqueHandle>> held_;  // this directory and those above it
};

// -- implementation ----------------------------------------------------------
inline UniqueHandle LogDirectory::hold(const std::wstring& path, DWORD flags, error_code& ec) noexcept {
    UniqueHandle directory = open_existing(path, FILE_LIST_DIRECTORY, FILE_SHARE_READ | FILE_SHARE_WRITE, flags);
    ec = directory ? error_code() : open_error();
    if (ec) return {};
    const LogStatus status = log_status(directory, ec);
    if (!ec && status.is_reparse_point()) ec = condition_code(boost::system::errc::too_many_symbolic_link_levels);
    else if (!ec && !status.is_directory()) ec = condition_code(boost::system::errc::not_a_directory);
    return ec ? UniqueHandle() : std::move(directory);
}

inline LogDirectory LogDirectory::open(const std::filesystem::path& root, error_code& ec) {
    LogDirectory opened;
    std::wstring path = long_path(root, ec);
    if (ec) return opened;
    while (path.ends_with(L'\\')) path.pop_back();
    UniqueHandle directory = hold(path + L'\\', 0, ec);
    if (ec) return opened;
    opened.path_ = std::move(path);
    opened.held_.push_back(std::make_shared<const UniqueHandle>(std::move(directory)));
    return opened;
}

inline LogDirectory LogDirectory::below(const Name& name, error_code& ec) const {
    LogDirectory opened;
    UniqueHandle directory = hold(path_of(name), FILE_FLAG_OPEN_REPARSE_POINT, ec);
    if (ec) return opened;
    opened.path_ = path_of(name);
    opened.held_ = held_;
    opened.held_.push_back(std::make_shared<const UniqueHandle>(std::move(directory)));
    return opened;
}

template <class Found>
void LogDirectory::for_each(error_code& ec, Found found) const {
    ::WIN32_FIND_DATAW entry{};
    const HANDLE search = ::FindFirstFileW(path_of(L"*").c_str(), &entry);
    ec = search != INVALID_HANDLE_VALUE ? error_code() : last_error();
    if (ec == system_code(ERROR_FILE_NOT_FOUND)) ec.clear();  // the root of a volume, without a file
    if (search == INVALID_HANDLE_VALUE) return;
    const std::unique_ptr<void, decltype(&::FindClose)> closes(search, &::FindClose);
    do {
        const std::wstring_view name = entry.cFileName;
        const bool is_link = (entry.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0;
        const bool is_directory = (entry.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
        if (name != L"." && name != L".." && !is_link) found(Name(name), is_directory);
    } while (::FindNextFileW(search, &entry) != 0);
}

inline std::optional<StoredFile> LogDirectory::look_at(const UniqueHandle& file) {
    error_code ec;
    const LogStatus status = file ? log_status(file, ec) : LogStatus{};
    if (!file || ec || refusal(file, status) || status.names != 1) return std::nullopt;
    return StoredFile{status, status.written, read_mark(file.get()), read_owner(file.get())};
}

inline std::optional<StoredFile> LogDirectory::look_at(const Name& name) const {
    return look_at(open_existing(path_of(name), GENERIC_READ));
}

inline LogDirectory::Removal LogDirectory::remove(const Name& name, const StoredFile& seen, error_code& ec) const {
    const UniqueHandle file = open_existing(path_of(name), GENERIC_READ | DELETE);
    ec = file ? error_code() : open_error();
    if (ec == boost::system::errc::no_such_file_or_directory) return (ec.clear(), Removal::other);
    if (ec == system_code(ERROR_SHARING_VIOLATION)) return (ec.clear(), Removal::in_use);
    if (ec) return Removal::failed;
    if (look_at(file) != seen) return Removal::other;
    if (is_in_use(file.get())) return Removal::in_use;
    // Looked at once more under the lock: it may have been continued and left again meanwhile.
    if (look_at(file) != seen) return Removal::other;
    ec = remove_held(file.get());
    return ec ? Removal::failed : Removal::removed;
}

inline bool LogDirectory::remove_directory(const Name& name) const {
    return ::RemoveDirectoryW(path_of(name).c_str()) != 0;
}

static_assert(HoldsLogDirectory<LogDirectory>);

}  // namespace warden::detail
#endif
