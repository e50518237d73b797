// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// One regular file of text: opened safely, appended to whole or not at all, replaced and moved on in one instant.
///
/// Knows:         names and system calls, what a crash between two of them leaves behind, its place in the stream.
/// Does not know: bounds, lines, when to try again: `LogSink` decides.
/// Thread-safety: one thread at a time.
/// Errors:        the system's code; on error a reader of the path sees what it saw before.
/// Allocates:     path names.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/logs/file_operations_posix.hpp>
#include <warden/detail/logs/log_owner_posix.hpp>
#include <warden/detail/logs/stream_mark_posix.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail {

/// A file that one program writes and others may read at any time. Mode 0600 when created. A new content is prepared in
/// a hidden file beside it, `.<name>.tmp`, which takes its place at once. While it is held it has a shared lock
/// (flock(2)), where the system gives one, so that others can see that the log is in use.
class LogFile {
public:
    LogFile() noexcept = default;

    /// Opens or creates `path`, and its directories (0700). Tidies up what a crash left behind. An empty file without a
    /// mark gets `fresh`, of a new stream if that has none; one with text begins a new stream.
    /// Refuses links (ELOOP), directories (EISDIR), what is not a regular file (EINVAL), files with several names
    /// (EMLINK), files of other users and directories of users other than this one and root (EPERM). Never follows a
    /// link in the last part of the path, never waits.
    [[nodiscard]] static LogFile open(const std::filesystem::path& path, const StreamMark& fresh, error_code& ec);

    explicit operator bool() const noexcept { return static_cast<bool>(fd_); }

    /// Where the next append should begin: the size as far as this object knows.
    [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

    /// As it should be; that of the last file when this one is closed.
    [[nodiscard]] const StreamMark& mark() const noexcept { return mark_; }

    /// See `LogOwner`; every file that takes the place of this one has it too.
    [[nodiscard]] const std::string& owner() const noexcept { return owner_; }
    void set_owner(std::string text);

    /// From `seam` on, the file stands in the stream as if its first byte were at `offset`.
    void mark_seam(std::uint64_t offset, std::uint64_t seam) noexcept;

    /// write(2) at the end (O_APPEND). If not all of it could be written, none of it is there afterwards. Over
    /// RLIMIT_FSIZE, EFBIG and no signal.
    void append(std::string_view text, error_code& ec) noexcept;

    /// Cuts the end off.
    void truncate(std::uint64_t size, error_code& ec) noexcept;

    /// Reads up to `count` bytes from `offset` on; fewer at the end of the file.
    [[nodiscard]] std::string read(std::uint64_t offset, std::size_t count, error_code& ec) const;

    /// The file at the path has `text` for its content, from one instant to the next, which stands at `offset` in the
    /// stream.
    void replace(std::string_view text, std::uint64_t offset, error_code& ec);

    /// What is at the path becomes path.1, cut to `keep_bytes`; that one path.2, up to path.`kept_files`; the oldest
    /// goes. At the path there is a new file with `text`, which stands at `offset` in the stream.
    void rotate(std::size_t kept_files, std::uint64_t keep_bytes, std::string_view text, std::uint64_t offset,
                error_code& ec);

    enum class Standing : std::uint8_t {
        in_place,  ///< The path still leads to this file, and nobody else changed its size.
        changed,   ///< It does, but somebody wrote to it or cut it.
        moved,     ///< The file has another name now.
        removed,   ///< The file has no name any more: what was written to it last is lost.
    };

    /// Looks at the file and at its path. A descriptor that somebody else closed is given up, not closed again.
    [[nodiscard]] Standing standing() noexcept;

    void close() noexcept { fd_.reset(); }

private:
    static UniqueFd open_existing_or_new(const std::string& path, error_code& ec);
    void tidy_up(error_code& ec) noexcept;
    UniqueFd write_temporary(std::string_view text, std::uint64_t offset, error_code& ec) noexcept;
    void adopt(UniqueFd fd, std::uint64_t size, const StreamMark& mark) noexcept;
    [[nodiscard]] std::string rotated(std::size_t number) const { return path_ + '.' + std::to_string(number); }

    std::string path_;
    std::string temporary_;
    UniqueFd fd_;
    std::uint64_t size_ = 0;
    ::dev_t device_ = 0;
    ::ino_t inode_ = 0;
    StreamMark mark_;
    std::string owner_;
};

// -- implementation ----------------------------------------------------------
inline LogFile LogFile::open(const std::filesystem::path& path, const StreamMark& fresh, error_code& ec) {
    LogFile file;
    file.path_ = path.native();
    file.temporary_ = (path.parent_path() / ("." + path.filename().native() + ".tmp")).native();
    if (!path.has_filename() || path.filename() == "." || path.filename() == "..") {
        ec = system_code(EISDIR);
        return {};
    }
    UniqueFd fd;
    for (int attempt = 0; attempt < 8 && !fd; ++attempt) {  // an empty directory may be removed meanwhile
        prepare_directory(path, ec);
        if (!ec) file.tidy_up(ec);
        if (ec) return {};
        fd = open_existing_or_new(file.path_, ec);
        if (ec && ec != boost::system::errc::no_such_file_or_directory) return {};
    }
    struct ::stat status {};
    if (!ec && ::fstat(fd.get(), &status) != 0) ec = last_error();
    if (!ec && refusal(status) != 0) ec = system_code(refusal(status));
    if (ec) return {};
    note_in_use(fd.get());
    StreamMark mark = read_mark(fd.get());
    if (!mark) {
        if (status.st_size == 0) mark = fresh;
        if (!mark) mark = {new_stream(), 0};
        write_mark(fd.get(), mark);
    }
    file.owner_ = read_owner(fd.get());
    file.adopt(std::move(fd), static_cast<std::uint64_t>(status.st_size), mark);
    return file;
}

inline UniqueFd LogFile::open_existing_or_new(const std::string& path, error_code& ec) {
    constexpr int flags = O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    for (int attempt = 0; attempt < 8; ++attempt) {  // somebody may create or remove it in between
        struct ::stat status {};
        const bool exists = ::lstat(path.c_str(), &status) == 0;
        if (!exists && errno != ENOENT) break;
        if (exists && refusal(status) != 0) {  // opening a device can have effects, so it is looked at first
            ec = system_code(refusal(status));
            return {};
        }
        UniqueFd fd(::open(path.c_str(), exists ? flags : flags | O_CREAT | O_EXCL, 0600));
        if (fd) {
            ec.clear();
            return fd;
        }
        if (errno != (exists ? ENOENT : EEXIST)) break;
    }
    ec = last_error();
    return {};
}

/// A crash can leave the temporary file: with the new content, or, after the names were exchanged, with the old one.
/// A rotation first gives the old file the name path.1 as well; so no crash loses it, and its second name tells how far
/// the rotation was.
inline void LogFile::tidy_up(error_code& ec) noexcept {
    const std::string first = rotated(1);
    struct ::stat active {
    }, temporary{}, previous{};
    const bool has_previous = ::lstat(first.c_str(), &previous) == 0;
    if (::lstat(temporary_.c_str(), &temporary) == 0 && has_previous && same_file(temporary, previous)) {
        // Exchanged, but the unfinished last line, which the new file begins with, may not be cut off yet.
        const UniqueFd fd(::open(first.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        auto end = static_cast<std::uint64_t>(previous.st_size);
        char byte = '\n';
        while (fd && end > 0 && ::pread(fd.get(), &byte, 1, static_cast<::off_t>(end - 1)) == 1 && byte != '\n') --end;
        if (fd && end > 0) (void)!::ftruncate(fd.get(), static_cast<::off_t>(end));
    }
    if (::unlink(temporary_.c_str()) != 0 && errno != ENOENT) {
        ec = last_error();
        return;
    }
    if (::lstat(path_.c_str(), &active) == 0 && has_previous && same_file(active, previous)) {
        ::unlink(first.c_str());  // not exchanged yet: it goes on as the active one
    }
    ec.clear();
}

inline void LogFile::adopt(UniqueFd fd, std::uint64_t size, const StreamMark& mark) noexcept {
    struct ::stat status {};
    fd_ = std::move(fd);
    size_ = size;
    mark_ = mark;
    if (::fstat(fd_.get(), &status) == 0) {
        device_ = status.st_dev;
        inode_ = status.st_ino;
    }
}

inline void LogFile::set_owner(std::string text) {
    if (text == owner_) return;
    owner_ = std::move(text);
    if (fd_) write_owner(fd_.get(), owner_);
}

inline void LogFile::mark_seam(std::uint64_t offset, std::uint64_t seam) noexcept {
    mark_ = {mark_.stream, offset, seam};
    write_mark(fd_.get(), mark_);
}

inline void LogFile::append(std::string_view text, error_code& ec) noexcept {
    std::size_t written = 0;
    ec = write_all(fd_.get(), size_, text, written);
    size_ += written;
    if (!ec || written == 0) return;
    // Where it began is asked of the system: if somebody cut the file meanwhile, ours would make a hole.
    struct ::stat status {};
    error_code ignored;
    if (::fstat(fd_.get(), &status) != 0) return;
    const auto end = static_cast<std::uint64_t>(status.st_size);
    truncate(end - std::min<std::uint64_t>(end, written), ignored);
}

inline void LogFile::truncate(std::uint64_t size, error_code& ec) noexcept {
    if (::ftruncate(fd_.get(), static_cast<::off_t>(size)) == 0) {
        ec.clear();
        size_ = size;
    } else {
        ec = last_error();
    }
}

inline std::string LogFile::read(std::uint64_t offset, std::size_t count, error_code& ec) const {
    std::string text(count, '\0');
    std::size_t done = 0;
    ec.clear();
    while (done < count) {
        const ::ssize_t got = ::pread(fd_.get(), text.data() + done, count - done, static_cast<::off_t>(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) ec = last_error();
        if (got <= 0) break;
        done += static_cast<std::size_t>(got);
    }
    text.resize(done);
    return text;
}

inline UniqueFd LogFile::write_temporary(std::string_view text, std::uint64_t offset, error_code& ec) noexcept {
    constexpr int flags = O_RDWR | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    UniqueFd fd(::open(temporary_.c_str(), flags, 0600));
    if (!fd && errno == EEXIST && ::unlink(temporary_.c_str()) == 0) fd.reset(::open(temporary_.c_str(), flags, 0600));
    if (!fd) {
        ec = last_error();
        return fd;
    }
    note_in_use(fd.get());  // first: a marked file that nobody holds is taken for the leftover of a crash
    write_mark(fd.get(), {mark_.stream, offset});
    write_owner(fd.get(), owner_);
    std::size_t written = 0;
    ec = write_all(fd.get(), 0, text, written);
    if (ec) ::unlink(temporary_.c_str());
    return fd;
}

inline void LogFile::replace(std::string_view text, std::uint64_t offset, error_code& ec) {
    UniqueFd fd = write_temporary(text, offset, ec);
    if (ec) return;
    if (exchange_names(temporary_.c_str(), path_.c_str()) != 0) {
        ec = last_error();
        ::unlink(temporary_.c_str());
        return;
    }
    if (::unlink(temporary_.c_str()) != 0 && errno != ENOENT) {  // a directory was at the path: it goes back there
        ec = last_error();
        exchange_names(temporary_.c_str(), path_.c_str());
        ::unlink(temporary_.c_str());
        return;
    }
    adopt(std::move(fd), text.size(), {mark_.stream, offset});
}

inline void LogFile::rotate(std::size_t kept_files, std::uint64_t keep_bytes, std::string_view text,
                            std::uint64_t offset, error_code& ec) {
    UniqueFd fd = write_temporary(text, offset, ec);
    if (ec) return;
    std::size_t free = 1;  // a rotation that failed half-way has left a gap; its files are not pushed on again
    while (free <= kept_files && ::access(rotated(free).c_str(), F_OK) == 0) ++free;
    if (free > kept_files && ::unlink(rotated(--free).c_str()) != 0) ec = last_error();  // no rename goes over a file
    for (; free > 1 && !ec; --free) {
        if (std::rename(rotated(free - 1).c_str(), rotated(free).c_str()) != 0) ec = last_error();
    }
    const std::string first = rotated(1);
    const bool linked = !ec && ::link(path_.c_str(), first.c_str()) == 0;
    if (!ec && !linked) {  // where there are no links, for an instant there is no file at the path
        ec = last_error();
        struct ::stat named {};
        const bool ours = ::lstat(path_.c_str(), &named) == 0 && named.st_dev == device_ && named.st_ino == inode_;
        if (ours && ec != boost::system::errc::file_exists) {
            ec.clear();
            if (std::rename(path_.c_str(), first.c_str()) != 0) ec = last_error();
        }
    }
    if (!ec && exchange_names(temporary_.c_str(), path_.c_str()) != 0) {
        ec = last_error();
        if (linked) ::unlink(first.c_str());
        else (void)std::rename(first.c_str(), path_.c_str());
    }
    // Should this fail, the new file repeats the unfinished line; that is all.
    if (!ec && size_ > keep_bytes) (void)!::ftruncate(fd_.get(), static_cast<::off_t>(keep_bytes));
    ::unlink(temporary_.c_str());
    if (!ec) adopt(std::move(fd), text.size(), {mark_.stream, offset});
}

inline LogFile::Standing LogFile::standing() noexcept {
    struct ::stat open {
    }, named{};
    if (::fstat(fd_.get(), &open) != 0 || open.st_dev != device_ || open.st_ino != inode_) {
        (void)fd_.release();  // the number is not ours any more
        return Standing::moved;
    }
    if (open.st_nlink == 0) return Standing::removed;
    if (::lstat(path_.c_str(), &named) != 0 || !same_file(open, named)) return Standing::moved;
    return static_cast<std::uint64_t>(open.st_size) == size_ ? Standing::in_place : Standing::changed;
}

}  // namespace warden::detail
#endif
