// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The text of a log, in order, found in its files while they grow, are replaced, rotated, removed and made again.
///
/// Knows:         the places of the files in the stream (`StreamMark`), and what to make of files without one.
/// Does not know: lines; who writes.
/// Thread-safety: one thread at a time.
/// Errors:        the system's code. What was not returned yet is not lost.
/// Allocates:     what it returns; path names.

#include <warden/detail/logs/log_files.hpp>
#include <warden/detail/logs/path_watch.hpp>
#include <warden/error.hpp>
#include <warden/output/log_limits.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace warden {

/// Text of a log.
struct FollowedText {
    std::string text{};
    bool gap = false;             ///< Text before this one is missing: it was gone before it could be read.
    std::uint64_t gap_bytes = 0;  ///< How much; 0 if that cannot be known.
    bool new_stream = false;      ///< Begins another stream of text: an unterminated line before it stays so.
};

namespace detail {

/// See `LogFollower`, whose promises these are.
class LogTrail {
public:
    static constexpr std::size_t max_read_bytes = std::size_t{64} << 10;  ///< Read at once.

    LogTrail() = default;

    /// Begins with the `last` lines of the file, and what is not finished after them; with as much as there is, if that
    /// is nothing or the file has fewer.
    [[nodiscard]] static LogTrail open(const std::filesystem::path& path, std::optional<std::size_t> last,
                                       error_code& ec);

    /// From one to `at_most` bytes, or nothing if there are none at the moment; never waits.
    [[nodiscard]] std::optional<FollowedText> try_read(std::size_t at_most, error_code& ec);

    /// Wakes when there may be more, if `try_read` has returned nothing.
    [[nodiscard]] const PathWatch& watch() const noexcept { return watch_; }

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
    struct Found {
        OpenLog log;
        StreamMark mark;
    };

    [[nodiscard]] Found open_file(std::size_t number, error_code& ec) const;
    [[nodiscard]] bool begin_at_last(Found file, std::size_t lines);
    [[nodiscard]] std::string read_held(std::size_t at_most, error_code& ec);
    [[nodiscard]] bool look_again(error_code& ec);
    [[nodiscard]] bool open_next(error_code& ec);
    [[nodiscard]] bool note_mark() noexcept;
    [[nodiscard]] bool note_cut() noexcept;
    void note_gap(std::uint64_t bytes) noexcept;
    void adopt(Found file, std::uint64_t at) noexcept;
    [[nodiscard]] bool is_held(const LogStatus& status) const noexcept;
    [[nodiscard]] bool has_name() const noexcept;
    [[nodiscard]] std::uint64_t position() const noexcept { return base_ + at_; }

    std::filesystem::path path_;
    PathWatch watch_;
    bool begun_ = false;  // from here on, what is missing is a gap
    LogHandle handle_;
    FileIdentity identity_;        // of the file that is or was held
    StreamMark mark_;              // of that file
    std::uint64_t base_ = 0;       // where its first byte stands in the stream
    std::uint64_t at_ = 0;         // as far as it was read
    std::uint64_t seen_ = 0;       // it was that large
    bool drained_ = false;         // its end was looked for since another file is at the path
    bool next_was_empty_ = false;  // that other file, then
    FollowedText news_;            // what is to be said with the next text
};

// -- implementation ----------------------------------------------------------
inline LogTrail LogTrail::open(const std::filesystem::path& path, std::optional<std::size_t> last, error_code& ec) {
    LogTrail trail;
    ec.clear();
    trail.path_ = path.empty() ? path : absolute_path(path);
    if (!path.has_filename() || path.filename() == "." || path.filename() == "..")
        ec = condition_code(boost::system::errc::is_a_directory);
    else trail.watch_ = PathWatch::open(trail.path_.parent_path(), ec);
    if (ec) return {};
    Found file = trail.open_file(0, ec);
    const bool exists = !ec;
    if (ec == boost::system::errc::no_such_file_or_directory) ec.clear();
    const bool begun = exists && last && trail.begin_at_last(std::move(file), *last);
    if (exists && !begun) (void)trail.open_next(ec);
    trail.begun_ = true;
    return ec ? LogTrail() : std::move(trail);
}

inline LogTrail::Found LogTrail::open_file(std::size_t number, error_code& ec) const {
    Found file;
    file.log = open_log_to_read(number == 0 ? path_ : rotated_path(path_, number), ec);
    if (!ec) file.mark = read_mark(file.log.handle.get());  // after its size: who marks a file does so first
    return file;
}

/// Behind the last newline but `lines`, if it is not too far from the end. False if there are not so many.
inline bool LogTrail::begin_at_last(Found file, std::size_t lines) {
    const std::uint64_t size = file.log.status.size;
    error_code ignored;
    const std::size_t most = lines > 0 ? max_tail_bytes : max_read_bytes;
    const std::string end = end_of_log(file.log, lines, most, Holes::stop, ignored);
    const std::uint64_t start = size - end.size();
    std::size_t newline = end.size();
    for (std::size_t i = 0; i <= lines && newline != end.npos; ++i)
        newline = newline > 0 ? end.rfind('\n', newline - 1) : end.npos;
    if (newline == end.npos && start == 0 && lines > 0) return false;
    const std::uint64_t too_far = lines > 0 || start == 0 ? start : size;
    // An empty file may not be marked yet.
    if (size > 0 || file.mark) adopt(std::move(file), newline != end.npos ? start + newline + 1 : too_far);
    return true;
}

inline std::optional<FollowedText> LogTrail::try_read(std::size_t at_most, error_code& ec) {
    ec.clear();
    if (!watch_) ec = condition_code(boost::system::errc::bad_file_descriptor);
    watch_.drain();
    while (!ec) {
        std::string text = read_held(std::clamp<std::size_t>(at_most, 1, max_read_bytes), ec);
        if (!text.empty()) {
            news_.text = std::move(text);
            return std::exchange(news_, {});
        }
        if (!ec && !look_again(ec)) break;
    }
    return std::nullopt;
}

inline std::string LogTrail::read_held(std::size_t at_most, error_code& ec) {
    std::string text;
    while (handle_) {
        text.resize(at_most);
        const std::size_t got = read_at(handle_, at_, text.data(), text.size(), ec);
        if (!ec && note_mark()) continue;  // what was read may come from behind a seam
        text.resize(got);
        at_ += text.size();
        seen_ = std::max(seen_, at_);
        break;
    }
    return text;
}

/// The file was marked anew: text was lost, or somebody cut it and its writer has seen it.
inline bool LogTrail::note_mark() noexcept {
    const StreamMark mark = read_mark(handle_.get());
    if (mark == mark_) return false;
    const std::uint64_t before = position();
    const bool same_stream = mark.stream == mark_.stream;
    mark_ = mark;
    at_ = std::min(at_, mark.seam);
    seen_ = std::min(seen_, mark.seam);
    base_ = mark.offset;
    if (same_stream && position() > before) note_gap(position() - before);
    else if (same_stream) at_ += before - position();  // written anew, with some of what was read
    return true;
}

/// All of what is held was read. False if there is nothing to do but wait.
inline bool LogTrail::look_again(error_code& ec) {
    const LogStatus found = log_status(path_, ec);
    const bool exists = !ec;
    if (!exists && ec != boost::system::errc::no_such_file_or_directory) return false;
    ec.clear();
    if (exists && is_held(found)) {
        drained_ = false;
        return note_cut() || watch_.watch_file(path_, found, ec) || (!ec && watch_.watch_directory(false, ec));
    }
    if (handle_ && (exists || !has_name()) && !std::exchange(drained_, true)) {  // written before it left
        next_was_empty_ = exists && found.size == 0;
        return true;
    }
    if (exists) return open_next(ec);
    if (has_name()) {
        drained_ = false;
    } else {  // an open file would keep the end of the directory from being noticed
        handle_.reset();
        watch_.forget_file();
    }
    return watch_.watch_directory(true, ec);
}

/// Goes on in the file that has what comes next, or the first after it. From the newest to the oldest, because that is
/// the direction in which files are renamed meanwhile: none is passed.
inline bool LogTrail::open_next(error_code& ec) {
    const std::uint64_t stream = mark_.stream;
    const bool renamed = handle_ && !mark_ && has_name();  // then the one that is held may be among them
    Found next;                                            // the oldest one seen that comes after what was read
    bool met = false;                                      // the one that was read last
    for (std::size_t i = 0, missing = 0; missing < 2 && !met && i <= OnLimit::max_files; ++i) {
        Found file = open_file(i, ec);
        if (i == 0 && ec == boost::system::errc::no_such_file_or_directory) return ec.clear(), true;
        if (i == 0 && ec) return false;
        missing = ec ? missing + 1 : 0;
        if (ec) continue;
        const auto size = file.log.status.size;
        if (i == 0 && !file.mark && (size == 0 || (drained_ && next_was_empty_))) {
            drained_ = false;  // its writer may be about to mark it, or may still write to the old one
            return size > 0 || watch_.watch_file(path_, file.log.status, ec);
        }
        const bool ours = stream != 0 && file.mark.stream == stream;
        const bool follows = ours || !next.log.handle ||
                             (next.mark.stream != stream && next.mark.stream == file.mark.stream) ||
                             (renamed && !next.mark && !file.mark);
        met = ours ? file.mark.offset <= position() : is_held(file.log.status);
        const bool has_more = ours && met && (!next.log.handle || position() - file.mark.offset < size);
        if (met ? has_more : follows) next = std::move(file);
        if (!next.mark && stream == 0 && !renamed) break;
    }
    ec.clear();
    if (renamed && !met) next = open_file(0, ec);  // `path.1` may be anything
    if (ec || !next.log.handle) return ec.clear(), true;
    const std::uint64_t offset = next.mark.offset;
    const bool ours = stream != 0 && next.mark.stream == stream;
    if (begun_ && !ours) {
        const bool first = identity_ == FileIdentity{};
        const bool lost = !next.mark && (stream != 0 || !(first || renamed));
        if (lost || offset > 0) note_gap(offset);
        news_.new_stream = !first && (stream != 0 || next.mark);
    } else if (begun_ && offset > position()) {
        note_gap(offset - position());
    }
    adopt(std::move(next), ours && offset <= position() ? position() - offset : 0);
    return true;
}

/// A file that became shorter begins again, unless it was rotated: then what was cut is in the next one.
inline bool LogTrail::note_cut() noexcept {
    error_code ec;
    const LogStatus held = log_status(handle_, ec);
    if (ec || held.size >= seen_) return false;
    const LogStatus found = log_status(path_, ec);
    if (ec || !is_held(found)) return true;
    const std::uint64_t size = held.size;
    const std::uint64_t before = position();
    if (at_ > size) at_ = mark_.seam <= size ? mark_.seam : 0;
    base_ = before - at_;  // what comes is new
    seen_ = size;
    note_gap(0);
    return true;
}

inline void LogTrail::note_gap(std::uint64_t bytes) noexcept {
    news_.gap = true;
    news_.gap_bytes += bytes;
}

inline void LogTrail::adopt(Found file, std::uint64_t at) noexcept {
    watch_.forget_file();
    handle_ = std::move(file.log.handle);
    identity_ = file.log.status.identity;
    mark_ = file.mark;
    base_ = mark_.offset;
    at_ = at;
    seen_ = file.log.status.size;
    drained_ = false;
}

inline bool LogTrail::is_held(const LogStatus& status) const noexcept {
    return handle_ && status.identity == identity_;
}

inline bool LogTrail::has_name() const noexcept {
    error_code ec;
    return handle_ && log_status(handle_, ec).names > 0;
}

}  // namespace detail
}  // namespace warden
