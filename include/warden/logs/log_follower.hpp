// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Follows a log while it grows, is replaced by its newest part, rotated, removed and made again.
///
/// Knows:         lines, and which of them are missing.
/// Does not know: who writes: it may be another process, and another program. No polling.
/// Thread-safety: one thread at a time.
/// Errors:        by code, or `system_error` from the overloads without one. What was not returned yet is not lost.
/// Allocates:     a block of at most 64 KiB; lines: one of 16 KiB and what is in it, and a line that is not complete.

#include <warden/detail/logs/log_trail.hpp>
#include <warden/error.hpp>
#include <warden/output/line_splitter.hpp>
#include <warden/timeout.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

namespace warden {

/// A line of a log, without its newline.
struct FollowedLine {
    std::string text{};
    bool partial = false;         ///< Not the end of the line: the rest is in the next one, or lost in a gap.
    bool gap = false;             ///< Text before this line is missing: it was gone before it could be read.
    std::uint64_t gap_bytes = 0;  ///< How much; 0 if that cannot be known.
};

namespace detail {
struct LogFollowerAccess;
}

/// Reads a log from its files, each byte once and in order. What the bounds of the log removed before it could be read,
/// or what was lost, is reported as a gap; of a log that `LogSink` writes, to the byte.
///
/// Of other logs: a file that is renamed is read to its end before the one that takes its path, also when several
/// rotations made it `path.1`, `path.2` and so on; one that is replaced or removed leaves a gap of unknown size, and so
/// does one that is cut and begins again, if it is looked at while it is shorter than before.
///
/// Take either lines or text from one follower, not both.
class LogFollower {
public:
    enum class From : std::uint8_t {
        beginning,  ///< As far back as the files reach; the rotated ones too, if `LogSink` made them.
        end,        ///< What comes from now on; of an unfinished last line, all of it.
    };

    LogFollower() = default;

    /// The file need not exist yet, but its directory must; of the stream that appears then, all is news. Errors:
    /// ENOENT (no directory), ELOOP (a symbolic link), EISDIR, EINVAL (a FIFO, device or socket), EMFILE (also:
    /// fs.inotify.max_user_instances), ENOSPC (fs.inotify.max_user_watches), or the system's code. Unlike the writer,
    /// it may read the files of others. ENOSYS (`function_not_supported`) where the system has nothing to wait for.
    [[nodiscard]] static LogFollower open(const std::filesystem::path& path, From from, error_code& ec);
    [[nodiscard]] static LogFollower open(const std::filesystem::path& path, From from);

    /// Begins with the newest `lines` finished lines that are there, oldest first; those of rotated files too, if
    /// `LogSink` made them. What it costs does not depend on the size of the files: of lines that are longer than
    /// `max_tail_bytes` together, the end is returned. With 0, as from the end. Errors as in `open`.
    [[nodiscard]] static LogFollower open_last(const std::filesystem::path& path, std::size_t lines, error_code& ec);
    [[nodiscard]] static LogFollower open_last(const std::filesystem::path& path, std::size_t lines);

    /// The next line; nothing if none comes within `timeout`, which is no error; one that is not positive does not
    /// wait. A line that is longer than `LineSplitter::default_max_line_bytes` comes in parts. An unterminated last
    /// line is kept until its end comes, or a gap or a new stream. Errors are as in `open`, after all that could be
    /// read; a later call tries again.
    [[nodiscard]] std::optional<FollowedLine> next(Timeout timeout, error_code& ec);
    [[nodiscard]] std::optional<FollowedLine> next(Timeout timeout);

    /// The same without waiting. An event loop waits only after this has returned nothing.
    [[nodiscard]] std::optional<FollowedLine> try_next(error_code& ec);
    [[nodiscard]] std::optional<FollowedLine> try_next();

    /// An unterminated last line, for when its writer has ended. Call it after `try_next` has returned nothing, until
    /// it returns nothing too.
    [[nodiscard]] std::optional<FollowedLine> finish();

    /// The bytes themselves instead of lines: from one to `max_bytes`, and at most 64 KiB. Otherwise as `next`.
    [[nodiscard]] std::optional<FollowedText> read_some(std::size_t max_bytes, Timeout timeout, error_code& ec);
    [[nodiscard]] std::optional<FollowedText> read_some(std::size_t max_bytes, Timeout timeout);
    [[nodiscard]] std::optional<FollowedText> try_read_some(std::size_t max_bytes, error_code& ec);
    [[nodiscard]] std::optional<FollowedText> try_read_some(std::size_t max_bytes);

    /// Absolute; empty if nothing was opened.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return trail_.path(); }

private:
    friend struct detail::LogFollowerAccess;

    static constexpr std::size_t block_bytes = std::size_t{16} << 10;

    template <class Try>
    auto wait_for(Timeout timeout, error_code& ec, Try try_once);
    [[nodiscard]] std::optional<FollowedLine> pop();
    void split(const FollowedText& text);
    void keep_last(std::size_t lines, std::uintmax_t there, error_code& ec);
    void add(const LineView& line, bool cut);

    detail::LogTrail trail_;
    LineSplitter splitter_;
    std::deque<FollowedLine> lines_;
    bool gap_ = false;  // to be said with the next line
    std::uint64_t gap_bytes_ = 0;
};

// -- implementation ----------------------------------------------------------
namespace detail {

/// What an event loop needs of a follower: a descriptor that is readable when there may be more, or on Windows an event
/// that is signalled then. It belongs to the follower.
struct LogFollowerAccess {
    [[nodiscard]] static PathWatch::Handle wait_handle(const LogFollower& follower) noexcept {
        return follower.trail_.watch().handle();
    }
};

}  // namespace detail

inline LogFollower LogFollower::open(const std::filesystem::path& path, From from, error_code& ec) {
    LogFollower follower;
    const auto last = from == From::end ? std::optional<std::size_t>(0) : std::nullopt;
    follower.trail_ = detail::LogTrail::open(path, last, ec);
    return follower;
}

inline LogFollower LogFollower::open_last(const std::filesystem::path& path, std::size_t lines, error_code& ec) {
    LogFollower follower;
    std::uintmax_t there = 0;  // in all files; of a rotation that is under way, one can be missing
    for (std::size_t i = 0, missing = 0; missing < 2 && i <= OnLimit::max_files; ++i) {
        there += detail::log_status(i == 0 ? path : detail::rotated_path(path, i), ec).size;
        missing = ec ? missing + 1 : 0;
    }
    follower.trail_ = detail::LogTrail::open(path, lines, ec);
    if (!ec && lines > 0) follower.keep_last(lines, there, ec);
    return ec ? LogFollower() : std::move(follower);
}

/// Of what was there, and no more: a writer that goes on would keep this going.
inline void LogFollower::keep_last(std::size_t lines, std::uintmax_t there, error_code& ec) {
    for (std::uintmax_t read = 0; read < there;) {
        const auto text = trail_.try_read(block_bytes, ec);
        if (!text) break;
        read += text->text.size();
        split(*text);
        while (lines_.size() > lines) lines_.pop_front();
    }
    gap_ = false;  // what is before these lines was not asked for
    gap_bytes_ = 0;
    if (!lines_.empty()) lines_.front().gap = false;
    if (!lines_.empty()) lines_.front().gap_bytes = 0;
}

inline void LogFollower::add(const LineView& line, bool cut) {
    lines_.push_back({std::string(line.text), line.partial || cut, std::exchange(gap_, false),
                      std::exchange(gap_bytes_, std::uint64_t{0})});
}

inline void LogFollower::split(const FollowedText& text) {
    if (text.gap || text.new_stream) splitter_.finish([&](const LineView& line) { add(line, text.gap); });
    gap_ |= text.gap;
    gap_bytes_ += text.gap_bytes;
    splitter_.feed(text.text, [this](const LineView& line) { add(line, false); });
}

inline std::optional<FollowedLine> LogFollower::pop() {
    if (lines_.empty()) return std::nullopt;
    FollowedLine line = std::move(lines_.front());
    lines_.pop_front();
    return line;
}

inline std::optional<FollowedLine> LogFollower::try_next(error_code& ec) {
    ec.clear();
    while (lines_.empty()) {
        const auto text = trail_.try_read(block_bytes, ec);
        if (!text) break;
        split(*text);
    }
    return pop();
}

inline std::optional<FollowedLine> LogFollower::finish() {
    if (lines_.empty()) splitter_.finish([this](const LineView& line) { add(line, false); });
    return pop();
}

inline std::optional<FollowedText> LogFollower::try_read_some(std::size_t max_bytes, error_code& ec) {
    return trail_.try_read(max_bytes, ec);
}

/// Calls until there is something, or an error, or no time left.
template <class Try>
auto LogFollower::wait_for(Timeout timeout, error_code& ec, Try try_once) {
    const SteadyTime deadline = detail::deadline_after(std::chrono::steady_clock::now(), timeout.length());
    for (;;) {
        auto found = try_once(ec);
        if (found || ec || !trail_.watch().wait_until(deadline, ec)) return found;
    }
}

inline std::optional<FollowedLine> LogFollower::next(Timeout timeout, error_code& ec) {
    return wait_for(timeout, ec, [this](error_code& failed) { return try_next(failed); });
}

inline std::optional<FollowedText> LogFollower::read_some(std::size_t max_bytes, Timeout timeout, error_code& ec) {
    return wait_for(timeout, ec, [&](error_code& failed) { return try_read_some(max_bytes, failed); });
}

inline LogFollower LogFollower::open(const std::filesystem::path& path, From from) {
    return detail::or_throw("cannot follow the log", [&](error_code& ec) { return open(path, from, ec); });
}

inline LogFollower LogFollower::open_last(const std::filesystem::path& path, std::size_t lines) {
    return detail::or_throw("cannot follow the log", [&](error_code& ec) { return open_last(path, lines, ec); });
}

inline std::optional<FollowedLine> LogFollower::next(Timeout timeout) {
    return detail::or_throw("cannot follow the log", [&](error_code& ec) { return next(timeout, ec); });
}

inline std::optional<FollowedLine> LogFollower::try_next() {
    return detail::or_throw("cannot follow the log", [this](error_code& ec) { return try_next(ec); });
}

inline std::optional<FollowedText> LogFollower::read_some(std::size_t max_bytes, Timeout timeout) {
    return detail::or_throw("cannot follow the log", [&](error_code& ec) { return read_some(max_bytes, timeout, ec); });
}

inline std::optional<FollowedText> LogFollower::try_read_some(std::size_t max_bytes) {
    return detail::or_throw("cannot follow the log", [&](error_code& ec) { return try_read_some(max_bytes, ec); });
}

}  // namespace warden
