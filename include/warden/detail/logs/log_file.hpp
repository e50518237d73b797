// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// One regular file of text: opened safely, appended to whole or not at all, replaced and rotated in one instant.
///
/// Knows:         names, what a crash between two steps leaves behind, its place in the stream.
/// Does not know: bounds, lines, when to try again: `LogSink` decides. The steps are in the file of each system.
/// Thread-safety: one thread at a time.
/// Errors:        conditions of POSIX for what is no place for a log, else the system's code; on error a reader of the
///                path sees what it saw before.
/// Allocates:     path names.

#include <warden/detail/logs/file_operations_posix.hpp>
#include <warden/detail/logs/file_operations_windows.hpp>
#include <warden/detail/logs/log_access.hpp>
#include <warden/detail/logs/log_owner_posix.hpp>
#include <warden/detail/logs/log_owner_windows.hpp>
#include <warden/detail/logs/stream_mark.hpp>
#include <warden/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace warden::detail {

/// What a log file is made of, for the steps of each system.
struct LogFileParts {
    LogPlace place{};      ///< Its names, and on POSIX systems its directory.
    LogHandle handle{};    ///< The file that is written.
    std::uint64_t size{};  ///< Of it, as far as is known.
    FileIdentity identity{};
    StreamMark mark{};
    std::string owner{};
};

/// A file that one program writes and others may read at any time. A new content is prepared in a hidden file beside
/// it, `.<name>.tmp`, which takes its place. While the file is held it has a shared lock, where the system gives one,
/// so that others can see that the log is in use.
class LogFile {
public:
    LogFile() noexcept = default;

    /// Opens or creates `path`, and its directories. Tidies up what a crash left behind. An empty file without a mark
    /// gets `fresh`, of a new stream if that has none; one with text begins a new stream. Never waits.
    /// Refuses links (ELOOP), directories (EISDIR), what is not a regular file (EINVAL), files with several names
    /// (EMLINK). POSIX: also a file of another user, and a directory in which another user could put something else in
    /// the place of a part of the path (EPERM; see `open_trusted_directory`). New files are 0600, new directories 0700;
    /// on Windows their access control is handed down.
    /// With `must_be_unused` EBUSY, or the like, if another LogFile, of whatever program, has it open.
    [[nodiscard]] static LogFile open(const std::filesystem::path& path, const StreamMark& fresh, bool must_be_unused,
                                      error_code& ec);

    [[nodiscard]] static LogFile open(const std::filesystem::path& path, const StreamMark& fresh, error_code& ec) {
        return open(path, fresh, false, ec);
    }

    explicit operator bool() const noexcept { return static_cast<bool>(parts_.handle); }

    /// Where the next append should begin: the size as far as this object knows.
    [[nodiscard]] std::uint64_t size() const noexcept { return parts_.size; }

    /// As it should be; that of the last file when this one is closed.
    [[nodiscard]] const StreamMark& mark() const noexcept { return parts_.mark; }

    /// See `LogOwner`; every file that takes the place of this one has it too.
    [[nodiscard]] const std::string& owner() const noexcept { return parts_.owner; }
    void set_owner(std::string text);

    /// From `seam` on, the file stands in the stream as if its first byte were at `offset`.
    void mark_seam(std::uint64_t offset, std::uint64_t seam) noexcept;

    /// Writes at the end. If not all of it could be written, none of it is there afterwards. Over RLIMIT_FSIZE, EFBIG
    /// and no signal.
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

    /// Looks at the file and at its path. A handle that somebody else closed is given up, not closed again.
    [[nodiscard]] Standing standing() noexcept;

    void close() noexcept { parts_.handle.reset(); }

private:
    void adopt(LogHandle handle, std::uint64_t size, const StreamMark& mark) noexcept;

    LogFileParts parts_;
};

/// Of each system: opens or creates the file in its place, which is noted, and finds it fit to be written.
[[nodiscard]] inline OpenLog open_log_to_write(LogFileParts& log, const std::filesystem::path& path, error_code& ec);

/// Whether somebody writes the log at the path now. Does not touch it.
[[nodiscard]] inline bool is_log_in_use(const std::filesystem::path& path) noexcept {
    error_code ec;
    const OpenLog log = open_log_to_read(path, ec);
    return !ec && !claim_unused(log.handle.get());
}

// -- implementation ----------------------------------------------------------

/// Takes a file for this program, unless another one has it, or has put another file in its place meanwhile.
[[nodiscard]] inline bool claim_alone(const OpenLog& opened, const LogPlace& place) noexcept {
    error_code ec;
    return claim_unused(opened.handle.get()) &&
           log_status(place.path, ec).identity == log_status(opened.handle, ec).identity && !ec;
}

inline LogFile LogFile::open(const std::filesystem::path& path, const StreamMark& fresh, bool must_be_unused,
                             error_code& ec) {
    LogFile file;
    if (!path.has_filename() || path.filename() == "." || path.filename() == "..") {
        ec = condition_code(boost::system::errc::is_a_directory);
        return {};
    }
    OpenLog opened = open_log_to_write(file.parts_, path, ec);
    if (ec) return {};
    if (must_be_unused && !claim_alone(opened, file.parts_.place)) {
        ec = condition_code(boost::system::errc::device_or_resource_busy);
        return {};
    }
    note_in_use(opened.handle.get());
    StreamMark mark = read_mark(opened.handle.get());
    if (!mark) {
        if (opened.status.size == 0) mark = fresh;
        if (!mark) mark = {new_stream(), 0};
        write_mark(opened.handle.get(), mark);
    }
    file.parts_.owner = read_owner(opened.handle.get());
    file.adopt(std::move(opened.handle), opened.status.size, mark);
    return file;
}

inline void LogFile::adopt(LogHandle handle, std::uint64_t size, const StreamMark& mark) noexcept {
    error_code ec;
    parts_.handle = std::move(handle);
    parts_.size = size;
    parts_.mark = mark;
    parts_.identity = log_status(parts_.handle, ec).identity;
}

inline void LogFile::set_owner(std::string text) {
    if (text == parts_.owner) return;
    parts_.owner = std::move(text);
    if (parts_.handle) write_owner(parts_.handle.get(), parts_.owner);
}

inline void LogFile::mark_seam(std::uint64_t offset, std::uint64_t seam) noexcept {
    parts_.mark = {parts_.mark.stream, offset, seam};
    write_mark(parts_.handle.get(), parts_.mark);
}

inline void LogFile::append(std::string_view text, error_code& ec) noexcept {
    std::size_t written = 0;
    ec = append_all(parts_.handle.get(), parts_.size, text, written);
    parts_.size += written;
    if (!ec || written == 0) return;
    // Where it began is asked of the system: if somebody cut the file meanwhile, ours would make a hole.
    error_code failed;
    const std::uint64_t end = log_status(parts_.handle, failed).size;
    if (!failed) truncate(end - std::min<std::uint64_t>(end, written), failed);
}

inline void LogFile::truncate(std::uint64_t size, error_code& ec) noexcept {
    ec = set_size(parts_.handle.get(), size);
    if (!ec) parts_.size = size;
}

inline std::string LogFile::read(std::uint64_t offset, std::size_t count, error_code& ec) const {
    std::string text(count, '\0');
    text.resize(read_at(parts_.handle, offset, text.data(), count, ec));
    return text;
}

inline LogFile::Standing LogFile::standing() noexcept {
    error_code ec;
    const LogStatus open = log_status(parts_.handle, ec);
    if (ec || open.identity != parts_.identity) {
        (void)parts_.handle.release();  // it is not ours any more
        return Standing::moved;
    }
    if (open.names == 0) return Standing::removed;
    const LogStatus named = log_status(parts_.place.path, ec);
    if (ec || named.identity != parts_.identity) return Standing::moved;
    return open.size == parts_.size ? Standing::in_place : Standing::changed;
}

}  // namespace warden::detail

#include <warden/detail/logs/log_file_posix.hpp>
#include <warden/detail/logs/log_file_windows.hpp>
