// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// One regular file of text: opened safely, appended to whole or not at all, replaced and moved on.
///
/// Knows:         names and system calls, what a crash between two of them leaves behind, its place in the stream.
/// Does not know: bounds, lines, when to try again: `LogSink` decides.
/// Thread-safety: one thread at a time.
/// Errors:        conditions of POSIX for what is no place for a log; else the system's code.
/// Allocates:     path names.

#include <warden/detail/system/api_windows.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
#include <warden/detail/logs/file_operations_windows.hpp>
#include <warden/detail/logs/log_access_windows.hpp>
#include <warden/detail/logs/log_owner_windows.hpp>
#include <warden/detail/logs/stream_mark_windows.hpp>
#include <warden/detail/system/unique_handle_windows.hpp>
#include <warden/error.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace warden::detail {

/// A file that one program writes and others may read at any time; its access control is what its directory hands
/// down. A new content is prepared in a hidden file beside it, `.<name>.tmp`, which takes its place:
///
/// 1. At once, by FILE_RENAME_POSIX_SEMANTICS (NTFS since Windows 10 1709).
/// 2. Where that is not to be had, the old file is renamed to `.<name>.<n>.tmp` first, and goes when its readers have
///    closed it. For an instant there is no file at the path.
/// 3. While a reader has the file open who does not let it be renamed (without FILE_SHARE_DELETE, as C and C++ streams
///    do), it is cut and written anew in place. Such a reader may see it empty or half written for an instant, but
///    never over its bound.
///
/// While a file is held, a byte far behind its end has a shared lock (LockFileEx), so that others can see that the log
/// is in use.
class LogFile {
public:
    LogFile() noexcept = default;

    /// Opens or creates `path`, and its directories. Tidies up what a crash left behind. An empty file without a mark
    /// gets `fresh`, of a new stream if that has none; one with text begins a new stream. Refuses links (ELOOP),
    /// directories (EISDIR), devices and streams of files (EINVAL), files with several names (EMLINK), names that are
    /// too long (ENAMETOOLONG). Never follows a link in the last part of the path.
    [[nodiscard]] static LogFile open(const std::filesystem::path& path, const StreamMark& fresh, error_code& ec);

    explicit operator bool() const noexcept { return static_cast<bool>(handle_); }

    /// Where the next append should begin: the size as far as this object knows.
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

    /// As it should be; that of the last file when this one is closed.
    [[nodiscard]] const StreamMark& mark() const noexcept { return mark_; }

    /// See `LogOwner`; every file that takes the place of this one has it too.
    [[nodiscard]] const std::string& owner() const noexcept { return owner_; }
    void set_owner(std::string text);

    /// From `seam` on, the file stands in the stream as if its first byte were at `offset`.
    void mark_seam(std::uint64_t offset, std::uint64_t seam) noexcept;

    /// WriteFile at the end of the file. If not all of it could be written, none of it is there afterwards.
    void append(std::string_view text, error_code& ec) noexcept;

    /// Cuts the end off.
    void truncate(std::uint64_t size, error_code& ec) noexcept;

    /// Reads up to `count` bytes from `offset` on; fewer at the end of the file.
    [[nodiscard]] std::string read(std::uint64_t offset, std::size_t count, error_code& ec) const;

    /// The file at the path has `text` for its content, which stands at `offset` in the stream.
    void replace(std::string_view text, std::uint64_t offset, error_code& ec);

    /// What is at the path becomes path.1, cut to `keep_bytes`; that one path.2, up to path.`kept_files`; the oldest
    /// goes. At the path there is a new file with `text`, which stands at `offset` in the stream. A reader who does not
    /// let the file be renamed keeps it: then path.1 is a copy. One who keeps a rotated file so makes this fail.
    void rotate(std::size_t kept_files, std::uint64_t keep_bytes, std::string_view text, std::uint64_t offset,
                error_code& ec);

    enum class Standing : std::uint8_t {
        in_place,  ///< The path still leads to this file, and nobody else changed its size.
        changed,   ///< It does, but somebody wrote to it or cut it.
        moved,     ///< The file has another name now.
        removed,   ///< The file has no name any more: what was written to it last is lost.
    };

    /// Looks at the file and at its path. A handle that somebody else closed is given up, not closed again.
    [[nodiscard]] Standing standing() noexcept;

    void close() noexcept { handle_.reset(); }

private:
    void tidy_up(error_code& ec) const;
    void repair_rotation() const;
    [[nodiscard]] UniqueHandle write_new(const std::wstring& path, const StreamMark& mark, std::string_view text,
                                         error_code& ec) const;
    [[nodiscard]] UniqueHandle open_old(bool& pinned, error_code& ec) const noexcept;
    void make_room(std::size_t kept_files, error_code& ec) const;
    void put_in_place(const UniqueHandle& old, error_code& ec) const;
    void rotate_in_place(const UniqueHandle& old, error_code& ec) const;
    void copy_to(const std::wstring& path, std::uint64_t bytes, error_code& ec) const;
    void write_anew(std::string_view text, std::uint64_t offset, error_code& ec) noexcept;
    void adopt(UniqueHandle handle, std::uint64_t size, const StreamMark& mark) noexcept;
    [[nodiscard]] std::wstring rotated(std::size_t number) const { return path_ + L'.' + std::to_wstring(number); }

    std::wstring path_;
    std::wstring temporary_;
    UniqueHandle handle_;
    std::uint64_t size_ = 0;
    FileIdentity identity_;
    StreamMark mark_;
    std::string owner_;
};

// -- implementation ----------------------------------------------------------
inline LogFile LogFile::open(const std::filesystem::path& path, const StreamMark& fresh, error_code& ec) {
    LogFile file;
    if (!path.has_filename() || path.filename() == "." || path.filename() == "..") {
        ec = condition_code(boost::system::errc::is_a_directory);
        return {};
    }
    file.path_ = long_path(path, ec);
    if (ec) return {};
    file.temporary_ = hidden_beside(file.path_, L"tmp");
    ec = mistake_in(std::wstring_view(file.temporary_).substr(file.path_.rfind(L'\\') + 1));
    UniqueHandle handle;
    for (int attempt = 0; attempt < 8 && !handle && !ec; ++attempt) {  // an empty directory may be removed meanwhile
        make_directories(file.path_, ec);
        if (!ec) file.tidy_up(ec);
        if (ec) return {};
        handle.reset(::CreateFileW(file.path_.c_str(), GENERIC_READ | GENERIC_WRITE, share_all, nullptr, OPEN_ALWAYS,
                                   FILE_FLAG_OPEN_REPARSE_POINT, nullptr));
        if (!handle && ::GetLastError() != ERROR_PATH_NOT_FOUND) ec = open_error();
    }
    if (!handle && !ec) ec = condition_code(boost::system::errc::no_such_file_or_directory);
    if (ec) {
        error_code unknown;
        const UniqueHandle found = open_existing(file.path_, FILE_READ_ATTRIBUTES);
        if (found && log_status(found, unknown).is_directory())
            ec = condition_code(boost::system::errc::is_a_directory);
        return {};
    }
    const LogStatus status = log_status(handle, ec);
    if (!ec) ec = refusal(handle, status);
    if (!ec && status.names > 1) ec = condition_code(boost::system::errc::too_many_links);
    if (ec) return {};
    note_in_use(handle.get());
    StreamMark mark = read_mark(handle.get());
    if (!mark) {
        if (status.size == 0) mark = fresh;
        if (!mark) mark = {new_stream(), 0};
        write_mark(handle.get(), mark);
    }
    file.owner_ = read_owner(handle.get());
    file.adopt(std::move(handle), status.size, mark);
    return file;
}

/// A crash can leave the temporary file, and the old one renamed, with nothing at the path. It takes its name again.
inline void LogFile::tidy_up(error_code& ec) const {
    const auto is_there = [](const std::wstring& path) {
        return ::GetFileAttributesW(path.c_str()) != INVALID_FILE_ATTRIBUTES;
    };
    bool lost = is_there(temporary_) && !is_there(path_);
    for (std::size_t i = 0; i < max_aside; ++i) {
        const std::wstring name = aside_name(path_, i);
        if (!is_there(name)) continue;
        if (lost && ::MoveFileExW(name.c_str(), path_.c_str(), 0) != 0) lost = false;
        else (void)remove_file(name);  // or when its readers have closed it
    }
    if (lost) (void)::MoveFileExW(rotated(1).c_str(), path_.c_str(), 0);
    ec = remove_file(temporary_);
    if (!ec) repair_rotation();
}

/// A rotation first gives the old file the name path.1 as well, and cuts off the unfinished line, with which the new
/// file begins, when that is in its place.
inline void LogFile::repair_rotation() const {
    error_code ec;
    const UniqueHandle active = open_existing(path_, GENERIC_READ);
    const UniqueHandle previous = open_existing(rotated(1), GENERIC_READ | GENERIC_WRITE);
    if (!active || !previous) return;
    const LogStatus status = log_status(previous, ec);
    if (ec || refusal(previous, status)) return;
    if (log_status(active, ec).identity == status.identity) {
        (void)remove_file(rotated(1));
        return;
    }
    const StreamMark next = read_mark(active.get());
    const StreamMark mark = read_mark(previous.get());
    const bool repeats = mark && mark.stream == next.stream && next.offset >= mark.offset;
    if (repeats && next.offset - mark.offset < status.size) (void)set_size(previous.get(), next.offset - mark.offset);
}

inline void LogFile::adopt(UniqueHandle handle, std::uint64_t size, const StreamMark& mark) noexcept {
    error_code ec;
    handle_ = std::move(handle);
    size_ = size;
    mark_ = mark;
    identity_ = log_status(handle_, ec).identity;
}

inline void LogFile::set_owner(std::string text) {
    if (text == owner_) return;
    owner_ = std::move(text);
    if (handle_) write_owner(handle_.get(), owner_);
}

inline void LogFile::mark_seam(std::uint64_t offset, std::uint64_t seam) noexcept {
    mark_ = {mark_.stream, offset, seam};
    write_mark(handle_.get(), mark_);
}

inline void LogFile::append(std::string_view text, error_code& ec) noexcept {
    std::size_t written = 0;
    ec = append_all(handle_.get(), text, written);
    size_ += written;
    if (!ec || written == 0) return;
    // Where it began is asked of the system: if somebody cut the file meanwhile, ours would make a hole.
    error_code failed;
    const std::uint64_t end = log_status(handle_, failed).size;
    if (!failed) truncate(end - std::min<std::uint64_t>(end, written), failed);
}

inline void LogFile::truncate(std::uint64_t size, error_code& ec) noexcept {
    ec = set_size(handle_.get(), size);
    if (!ec) size_ = size;
}

inline std::string LogFile::read(std::uint64_t offset, std::size_t count, error_code& ec) const {
    std::string text(count, '\0');
    text.resize(read_at(handle_, offset, text.data(), count, ec));
    return text;
}

inline UniqueHandle LogFile::write_new(const std::wstring& path, const StreamMark& mark, std::string_view text,
                                       error_code& ec) const {
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
    write_owner(made.get(), owner_);
    std::size_t written = 0;
    ec = append_all(made.get(), text, written);
    if (ec) (void)remove_file(path);
    return made;
}

/// What is at the path, to be renamed; nothing if there is nothing. `pinned`: it is the file that is held, and one of
/// its readers does not let it be renamed.
inline UniqueHandle LogFile::open_old(bool& pinned, error_code& ec) const noexcept {
    UniqueHandle old = open_existing(path_, DELETE | FILE_READ_ATTRIBUTES);
    ec = old ? error_code() : open_error();
    pinned = false;
    const bool kept = ec == system_code(ERROR_SHARING_VIOLATION);
    if (ec == boost::system::errc::no_such_file_or_directory) ec.clear();
    const UniqueHandle found = kept ? open_existing(path_, FILE_READ_ATTRIBUTES) : UniqueHandle();
    error_code unknown;
    if (old && log_status(old, ec).is_directory()) ec = condition_code(boost::system::errc::is_a_directory);
    if (found && log_status(found, unknown).identity == identity_) {
        pinned = true;
        ec.clear();
    }
    return old;
}

/// The temporary file takes the place of the old one, if there is one.
inline void LogFile::put_in_place(const UniqueHandle& old, error_code& ec) const {
    const UniqueHandle fresh = open_existing(temporary_, DELETE);
    ec = fresh ? error_code() : last_error();
    if (!ec) ec = old ? rename_over(fresh.get(), path_) : rename_to(fresh.get(), path_);
    if (old && is_unsupported(ec)) {
        ec = move_aside(old.get(), path_);
        if (!ec) {
            ec = rename_to(fresh.get(), path_);
            if (ec) (void)rename_to(old.get(), path_);
            else (void)remove_held(old.get());
        }
    }
}

inline void LogFile::replace(std::string_view text, std::uint64_t offset, error_code& ec) {
    bool pinned = false;
    UniqueHandle fresh = write_new(temporary_, {mark_.stream, offset}, text, ec);
    if (ec) return;
    const UniqueHandle old = open_old(pinned, ec);
    if (pinned) write_anew(text, offset, ec);
    else if (!ec) put_in_place(old, ec);
    if (ec || pinned) (void)remove_file(temporary_);
    else adopt(std::move(fresh), text.size(), {mark_.stream, offset});
}

/// Frees the name path.1.
inline void LogFile::make_room(std::size_t kept_files, error_code& ec) const {
    std::size_t free = 1;  // a rotation that failed half-way has left a gap; its files are not pushed on again
    while (free <= kept_files && ::GetFileAttributesW(rotated(free).c_str()) != INVALID_FILE_ATTRIBUTES) ++free;
    if (free > kept_files) ec = free_name(rotated(--free), path_);
    for (; free > 1 && !ec; --free) {
        if (::MoveFileExW(rotated(free - 1).c_str(), rotated(free).c_str(), 0) == 0) ec = last_error();
    }
}

/// With links and renaming at once there is a file at the path all the time; else for an instant there is none.
inline void LogFile::rotate_in_place(const UniqueHandle& old, error_code& ec) const {
    const UniqueHandle fresh = open_existing(temporary_, DELETE);
    ec = fresh ? error_code() : last_error();
    if (ec) return;
    const bool at_once =
        !rename_over(fresh.get(), aside_name(path_, 0));  // a name that nobody looks at: to see whether it can be
    if (at_once && ::CreateHardLinkW(rotated(1).c_str(), path_.c_str(), nullptr) != 0) {
        ec = rename_over(fresh.get(), path_);
        if (ec) (void)remove_file(rotated(1));
    } else {
        ec = rename_to(old.get(), rotated(1));
        if (ec) return;
        ec = rename_to(fresh.get(), path_);
        if (ec) (void)rename_to(old.get(), path_);
    }
    if (ec) (void)remove_held(fresh.get());
}

inline void LogFile::rotate(std::size_t kept_files, std::uint64_t keep_bytes, std::string_view text,
                            std::uint64_t offset, error_code& ec) {
    bool pinned = false;
    UniqueHandle fresh = write_new(temporary_, {mark_.stream, offset}, text, ec);
    if (ec) return;
    make_room(kept_files, ec);
    if (!ec) {
        const UniqueHandle old = open_old(pinned, ec);
        if (pinned) copy_to(rotated(1), std::min(size_, keep_bytes), ec);
        else if (!ec && (!old || log_status(old, ec).identity != identity_)) ec = system_code(ERROR_FILE_NOT_FOUND);
        else if (!ec) rotate_in_place(old, ec);
    }
    if (pinned && !ec) write_anew(text, offset, ec);
    if (ec || pinned) (void)remove_file(temporary_);
    if (ec || pinned) return;
    // Should this fail, the new file repeats the unfinished line; that is all.
    if (size_ > keep_bytes) (void)set_size(handle_.get(), keep_bytes);
    adopt(std::move(fresh), text.size(), {mark_.stream, offset});
}

inline void LogFile::copy_to(const std::wstring& path, std::uint64_t bytes, error_code& ec) const {
    constexpr std::uint64_t most = std::uint64_t{1} << 20;
    const UniqueHandle copy = write_new(path, mark_, {}, ec);
    for (std::uint64_t done = 0; done < bytes && !ec;) {
        const std::string part = read(done, static_cast<std::size_t>(std::min(bytes - done, most)), ec);
        std::size_t written = 0;
        if (!ec) ec = append_all(copy.get(), part, written);
        if (part.empty()) break;  // somebody cut it
        done += part.size();
    }
    if (ec) (void)remove_file(path);
}

/// The mark says that what was read of the file so far is not what is in it. Who fails half-way gives the file up, so
/// that it is looked at anew.
inline void LogFile::write_anew(std::string_view text, std::uint64_t offset, error_code& ec) noexcept {
    truncate(0, ec);
    if (ec) return;
    mark_seam(offset, 0);
    append(text, ec);
    if (ec) close();
}

inline LogFile::Standing LogFile::standing() noexcept {
    error_code ec;
    const LogStatus open = log_status(handle_, ec);
    if (ec || open.identity != identity_) {
        (void)handle_.release();  // it is not ours any more
        return Standing::moved;
    }
    if (open.names == 0) return Standing::removed;
    const UniqueHandle named = open_existing(path_, FILE_READ_ATTRIBUTES);
    if (!named || log_status(named, ec).identity != identity_) return Standing::moved;
    return open.size == size_ ? Standing::in_place : Standing::changed;
}

}  // namespace warden::detail
#endif
