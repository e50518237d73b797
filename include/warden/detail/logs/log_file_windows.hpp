// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The steps of `LogFile` by which a file is found fit, replaced and rotated, on Windows.
///
/// Knows:         three ways to put the temporary file in its place, the first that is available:
///
/// 1. At once, by FILE_RENAME_POSIX_SEMANTICS (NTFS since Windows 10 1709).
/// 2. The old file is renamed to `.<name>.<n>.tmp` first, and goes when its readers have closed it. For an instant
///    there is no file at the path.
/// 3. While a reader has the file open who does not let it be renamed (without FILE_SHARE_DELETE, as C and C++ streams
///    do), it is cut and written anew in place, and path.1 is a copy. Such a reader may see it empty or half written
///    for an instant, but never over its bound. One who keeps a rotated file so makes the rotation fail.
///
/// Does not know: the stream; see log_file.hpp. The lock is one on a byte far behind the end (LockFileEx).

#include <warden/detail/logs/log_file.hpp>
#include <warden/detail/system/api_windows.hpp>

#if WARDEN_OS_WINDOWS
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace warden::detail {

/// A rotation first gives the old file the name path.1 as well, and cuts off the unfinished line, with which the new
/// file begins, when that is in its place.
inline void repair_rotation(const LogFileParts& log) {
    error_code ec;
    const UniqueHandle active = open_existing(log.place.path, GENERIC_READ);
    const UniqueHandle previous = open_existing(log.place.rotated(1), GENERIC_READ | GENERIC_WRITE);
    if (!active || !previous) return;
    const LogStatus status = log_status(previous, ec);
    if (ec || refusal(previous, status)) return;
    if (log_status(active, ec).identity == status.identity) {
        (void)remove_file(log.place.rotated(1));
        return;
    }
    const StreamMark next = read_mark(active.get());
    const StreamMark mark = read_mark(previous.get());
    const bool repeats = mark && mark.stream == next.stream && next.offset >= mark.offset;
    if (repeats && next.offset - mark.offset < status.size) (void)set_size(previous.get(), next.offset - mark.offset);
}

/// A crash can leave the temporary file, and the old one renamed, with nothing at the path. It takes its name again.
inline void tidy_up(const LogFileParts& log, error_code& ec) {
    const auto is_there = [](const std::wstring& path) {
        return ::GetFileAttributesW(path.c_str()) != INVALID_FILE_ATTRIBUTES;
    };
    bool lost = is_there(log.place.temporary) && !is_there(log.place.path);
    for (std::size_t i = 0; i < max_aside; ++i) {
        const std::wstring name = aside_name(log.place.path, i);
        if (!is_there(name)) continue;
        if (lost && ::MoveFileExW(name.c_str(), log.place.path.c_str(), 0) != 0) lost = false;
        else (void)remove_file(name);  // or when its readers have closed it
    }
    if (lost) (void)::MoveFileExW(log.place.rotated(1).c_str(), log.place.path.c_str(), 0);
    ec = remove_file(log.place.temporary);
    if (!ec) repair_rotation(log);
}

inline OpenLog open_log_to_write(LogFileParts& log, const std::filesystem::path& path, error_code& ec) {
    LogPlace& place = log.place;
    place.path = long_path(path, ec);
    if (ec) return {};
    place.temporary = hidden_beside(place.path, L"tmp");
    ec = mistake_in(std::wstring_view(place.temporary).substr(place.path.rfind(L'\\') + 1));
    OpenLog opened;
    for (int attempt = 0; attempt < 8 && !opened.handle && !ec; ++attempt) {  // an empty directory may be removed
        make_directories(place.path, ec);
        if (!ec) tidy_up(log, ec);
        if (ec) return {};
        opened.handle.reset(::CreateFileW(place.path.c_str(), GENERIC_READ | GENERIC_WRITE, share_all, nullptr,
                                          OPEN_ALWAYS, FILE_FLAG_OPEN_REPARSE_POINT, nullptr));
        if (!opened.handle && ::GetLastError() != ERROR_PATH_NOT_FOUND) ec = open_error();
    }
    if (!opened.handle && !ec) ec = condition_code(boost::system::errc::no_such_file_or_directory);
    if (ec) {
        error_code unknown;
        const UniqueHandle found = open_existing(place.path, FILE_READ_ATTRIBUTES);
        if (found && log_status(found, unknown).is_directory())
            ec = condition_code(boost::system::errc::is_a_directory);
        return {};
    }
    opened.status = log_status(opened.handle, ec);
    if (!ec) ec = refusal(opened.handle, opened.status);
    if (!ec && opened.status.names > 1) ec = condition_code(boost::system::errc::too_many_links);
    return opened;
}

inline UniqueHandle write_new(const LogFileParts& log, const std::wstring& path, const StreamMark& mark,
                              std::string_view text, error_code& ec) {
    UniqueHandle made;
    ec = remove_file(path);
    if (ec) return made;
    made.reset(::CreateFileW(path.c_str(), GENERIC_READ | GENERIC_WRITE, share_all, nullptr, CREATE_NEW,
                             FILE_FLAG_OPEN_REPARSE_POINT, nullptr));
    if (!made) {
        ec = last_error();
        return made;
    }
    note_in_use(made.get());  // first: a marked file that nobody holds is taken for the leftover of a crash
    write_mark(made.get(), mark);
    write_owner(made.get(), log.owner);
    std::size_t written = 0;
    ec = append_all(made.get(), 0, text, written);
    if (ec) (void)remove_file(path);
    return made;
}

/// What is at the path, to be renamed; nothing if there is nothing. `pinned`: it is the file that is held, and one of
/// its readers does not let it be renamed.
inline UniqueHandle open_old(const LogFileParts& log, bool& pinned, error_code& ec) noexcept {
    UniqueHandle old = open_existing(log.place.path, DELETE | FILE_READ_ATTRIBUTES);
    ec = old ? error_code() : open_error();
    pinned = false;
    const bool kept = ec == system_code(ERROR_SHARING_VIOLATION);
    if (ec == boost::system::errc::no_such_file_or_directory) ec.clear();
    const UniqueHandle found = kept ? open_existing(log.place.path, FILE_READ_ATTRIBUTES) : UniqueHandle();
    error_code unknown;
    if (old && log_status(old, ec).is_directory()) ec = condition_code(boost::system::errc::is_a_directory);
    if (found && log_status(found, unknown).identity == log.identity) {
        pinned = true;
        ec.clear();
    }
    return old;
}

/// The temporary file takes the place of the old one, if there is one.
inline void put_in_place(const LogFileParts& log, const UniqueHandle& old, error_code& ec) {
    const UniqueHandle fresh = open_existing(log.place.temporary, DELETE);
    ec = fresh ? error_code() : last_error();
    if (!ec) ec = old ? rename_over(fresh.get(), log.place.path) : rename_to(fresh.get(), log.place.path);
    if (old && is_unsupported(ec)) {
        ec = move_aside(old.get(), log.place.path);
        if (!ec) {
            ec = rename_to(fresh.get(), log.place.path);
            if (ec) (void)rename_to(old.get(), log.place.path);
            else (void)remove_held(old.get());
        }
    }
}

inline void copy_to(const LogFile& file, const LogFileParts& log, const std::wstring& path, std::uint64_t bytes,
                    error_code& ec) {
    constexpr std::uint64_t most = std::uint64_t{1} << 20;
    const UniqueHandle copy = write_new(log, path, log.mark, {}, ec);
    for (std::uint64_t done = 0; done < bytes && !ec;) {
        const std::string part = file.read(done, static_cast<std::size_t>(std::min(bytes - done, most)), ec);
        std::size_t written = 0;
        if (!ec) ec = append_all(copy.get(), done, part, written);
        if (part.empty()) break;  // somebody cut it
        done += part.size();
    }
    if (ec) (void)remove_file(path);
}

/// The mark says that what was read of the file so far is not what is in it. Who fails half-way gives the file up, so
/// that it is looked at anew.
inline void write_anew(LogFile& file, std::string_view text, std::uint64_t offset, error_code& ec) noexcept {
    file.truncate(0, ec);
    if (ec) return;
    file.mark_seam(offset, 0);
    file.append(text, ec);
    if (ec) file.close();
}

inline void LogFile::replace(std::string_view text, std::uint64_t offset, error_code& ec) {
    bool pinned = false;
    UniqueHandle fresh = write_new(parts_, parts_.place.temporary, {parts_.mark.stream, offset}, text, ec);
    if (ec) return;
    const UniqueHandle old = open_old(parts_, pinned, ec);
    if (pinned) write_anew(*this, text, offset, ec);
    else if (!ec) put_in_place(parts_, old, ec);
    if (ec || pinned) (void)remove_file(parts_.place.temporary);
    else adopt(std::move(fresh), text.size(), {parts_.mark.stream, offset});
}

/// Frees the name path.1.
inline void make_room(const LogFileParts& log, std::size_t kept_files, error_code& ec) {
    std::size_t free = 1;  // a rotation that failed half-way has left a gap; its files are not pushed on again
    while (free <= kept_files && ::GetFileAttributesW(log.place.rotated(free).c_str()) != INVALID_FILE_ATTRIBUTES)
        ++free;
    if (free > kept_files) ec = free_name(log.place.rotated(--free), log.place.path);
    for (; free > 1 && !ec; --free) {
        if (::MoveFileExW(log.place.rotated(free - 1).c_str(), log.place.rotated(free).c_str(), 0) == 0)
            ec = last_error();
    }
}

/// With links and renaming at once there is a file at the path all the time; else for an instant there is none.
inline void rotate_in_place(const LogFileParts& log, const UniqueHandle& old, error_code& ec) {
    const UniqueHandle fresh = open_existing(log.place.temporary, DELETE);
    ec = fresh ? error_code() : last_error();
    if (ec) return;
    const bool at_once = !rename_over(
        fresh.get(), aside_name(log.place.path, 0));  // a name that nobody looks at: to see whether it can be
    if (at_once && ::CreateHardLinkW(log.place.rotated(1).c_str(), log.place.path.c_str(), nullptr) != 0) {
        ec = rename_over(fresh.get(), log.place.path);
        if (ec) (void)remove_file(log.place.rotated(1));
    } else {
        ec = rename_to(old.get(), log.place.rotated(1));
        if (ec) return;
        ec = rename_to(fresh.get(), log.place.path);
        if (ec) (void)rename_to(old.get(), log.place.path);
    }
    if (ec) (void)remove_held(fresh.get());
}

inline void LogFile::rotate(std::size_t kept_files, std::uint64_t keep_bytes, std::string_view text,
                            std::uint64_t offset, error_code& ec) {
    bool pinned = false;
    UniqueHandle fresh = write_new(parts_, parts_.place.temporary, {parts_.mark.stream, offset}, text, ec);
    if (ec) return;
    make_room(parts_, kept_files, ec);
    if (!ec) {
        const UniqueHandle old = open_old(parts_, pinned, ec);
        if (pinned) copy_to(*this, parts_, parts_.place.rotated(1), std::min(parts_.size, keep_bytes), ec);
        else if (!ec && (!old || log_status(old, ec).identity != parts_.identity))
            ec = system_code(ERROR_FILE_NOT_FOUND);
        else if (!ec) rotate_in_place(parts_, old, ec);
    }
    if (pinned && !ec) write_anew(*this, text, offset, ec);
    if (ec || pinned) (void)remove_file(parts_.place.temporary);
    if (ec || pinned) return;
    // Should this fail, the new file repeats the unfinished line; that is all.
    if (parts_.size > keep_bytes) (void)set_size(parts_.handle.get(), keep_bytes);
    adopt(std::move(fresh), text.size(), {parts_.mark.stream, offset});
}

}  // namespace warden::detail
#endif
