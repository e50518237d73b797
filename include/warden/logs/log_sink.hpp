// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A log file that never exceeds its bound, and that never stops its writer.
///
/// Knows:         bounds, what to do when they are reached, what to do when the disk fails, positions in the stream.
/// Does not know: processes, pipes, formats: bytes come in.
/// Thread-safety: one thread writes; `tail`, `stats` and `path` from any thread. No lock is held during I/O.
/// Errors:        of `open` by code; afterwards none: what cannot be written is counted.
/// Allocates:     the newest text (see `OnLimit`); path names when a file is replaced.

#include <warden/detail/logs/log_access.hpp>
#include <warden/detail/logs/log_file.hpp>
#include <warden/detail/text/text_measure.hpp>
#include <warden/error.hpp>
#include <warden/output/log_limits.hpp>
#include <warden/output/text_window.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// What became of the text that a sink was given.
struct LogSinkStats {
    std::uint64_t bytes = 0;  ///< Given to `write`.
    std::uint64_t dropped_bytes =
        0;                          ///< Never reached the file because of an error. What the bound removes is no drop.
    std::uint64_t failures = 0;     ///< How often it became degraded.
    std::uint64_t compactions = 0;  ///< How often the file was replaced by its newest part.
    std::uint64_t rotations = 0;
    std::size_t lines = 0;    ///< In the active file now.
    std::size_t chars = 0;    ///< In the active file now.
    bool degraded = false;    ///< Writing fails at the moment; it is tried again.
    error_code last_error{};  ///< Why; stays when it has recovered.
};

/// Writes text to a bounded file, at once to the operating system. There must be one sink per path.
///
/// At every instant the file is within `limits`, also for somebody who reads it meanwhile; if he opened it before it
/// was replaced, he keeps the old content. With `keep_newest`, and over all files with `rotate`, what is there is the
/// end of what was written, without a gap, unless something was dropped.
///
/// When writing fails (disk full, I/O error, file size limit, file removed or renamed, directory gone), the text is
/// held in memory as far as the bound allows and tried again with a later write, `retry_interval` after the last
/// attempt at the earliest. What had to leave memory before it could be written is dropped, by whole lines.
///
/// Each file says where in the stream of all text it begins (see `detail::StreamMark`), so that `LogFollower` can tell
/// what it missed; dropped text counts. A sink that continues a file continues its stream. The file is locked
/// as long as the sink has it, so that `prune_logs` leaves it alone. How a file is replaced on this system, and what
/// its readers may see of that, is said in `detail::LogFile`.
class LogSink {
public:
    using Clock = std::chrono::steady_clock;

    /// Between two attempts to write after an error, and between two looks at whether the file is still at its path.
    static constexpr std::chrono::milliseconds retry_interval{100};

    /// Takes what it is given and counts it as dropped.
    LogSink() : LogSink(LogLimits{}, OnLimit{}) {}

    /// Opens or creates the file and its directories; an existing text is continued. Files 0600, directories 0700; on
    /// Windows their access control is handed down.
    /// `errc::invalid_options`: see the `validate()` of both. Else why the file is no place for a log: ELOOP (a
    /// symbolic link), EISDIR, EINVAL (a FIFO, device or socket), EMLINK (it has a second name), EPERM (the file
    /// belongs to another user, or another user could change a part of the path: `detail::why_not_trusted`), or the
    /// system's code.
    [[nodiscard]] static LogSink open(const std::filesystem::path& path, const LogLimits& limits, OnLimit on_limit,
                                      error_code& ec);

    /// The same, for one writer: `device_or_resource_busy` if another LogSink, of whatever program, has the file open.
    [[nodiscard]] static LogSink open_alone(const std::filesystem::path& path, const LogLimits& limits,
                                            OnLimit on_limit, error_code& ec);

    /// Never fails, never waits for more than the disk. `now` is there for tests.
    void write(std::string_view text, Clock::time_point now = Clock::now()) noexcept;

    /// Says on the file, and on all that follow it, whose output it holds: see `detail::LogOwner`. By the thread that
    /// writes.
    void set_owner(std::string text) { file_.set_owner(std::move(text)); }

    [[nodiscard]] LogSinkStats stats() const;

    /// The newest `count` lines, from memory, without their newlines; also what could not be written. With `rotate`
    /// memory holds no more than the default bound; `tail_file` reads further back.
    [[nodiscard]] std::vector<std::string> tail(std::size_t count) const;

    /// Absolute; empty if nothing was opened.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }

private:
    struct Shared {
        mutable std::mutex mutex;
        TextWindow newest;  // changed by the writer, under the mutex
        LogSinkStats stats;
    };

    LogSink(const LogLimits& limits, OnLimit on_limit);
    [[nodiscard]] static LogSink open(const std::filesystem::path& path, const LogLimits& limits, OnLimit on_limit,
                                      bool must_be_unused, error_code& ec);
    void open_file(bool must_be_unused, error_code& ec);
    void look_after_file();
    void store(std::string_view text, error_code& ec);
    void store_rotating(std::string_view text, error_code& ec);
    void store_long_line(std::string_view line, error_code& ec);
    [[nodiscard]] bool fits(std::string_view text) const noexcept;
    void append(std::string_view text, error_code& ec);
    void replace(std::string_view text, std::uint64_t after, error_code& ec);
    void rotate(std::string_view unfinished, std::uint64_t after, error_code& ec);
    void go_on_after_drop(error_code& ec) noexcept;
    void note(std::string_view text) noexcept;
    void publish() noexcept;

    std::filesystem::path path_;
    LogLimits limits_;
    OnLimit on_limit_;
    std::unique_ptr<Shared> shared_;
    LogSinkStats stats_;  // the writer's own copy
    detail::LogFile file_;
    detail::TextSize content_{};    // of the file
    detail::TextSize open_line_{};  // the part of it after the last newline
    std::uint64_t pending_ = 0;     // bytes at the end of the stream that are not in the file
    std::uint64_t end_ = 0;         // the position of the end of the stream
    std::uint64_t unchecked_ = 0;   // bytes written since the file was last seen at its path
    Clock::time_point check_at_{};
    Clock::time_point retry_at_{};
};

// -- implementation ----------------------------------------------------------
inline LogSink::LogSink(const LogLimits& limits, OnLimit on_limit)
    : limits_(limits), on_limit_(on_limit), shared_(std::make_unique<Shared>()) {
    constexpr LogLimits memory{};  // of a sink that rotates
    const LogLimits held = on_limit.rotates() ? LogLimits{std::min(limits.max_lines, memory.max_lines),
                                                          std::min(limits.max_chars, memory.max_chars)}
                                              : limits;
    shared_->newest = TextWindow(held);
}

inline LogSink LogSink::open(const std::filesystem::path& path, const LogLimits& limits, OnLimit on_limit,
                             error_code& ec) {
    return open(path, limits, on_limit, false, ec);
}

inline LogSink LogSink::open_alone(const std::filesystem::path& path, const LogLimits& limits, OnLimit on_limit,
                                   error_code& ec) {
    return open(path, limits, on_limit, true, ec);
}

inline LogSink LogSink::open(const std::filesystem::path& path, const LogLimits& limits, OnLimit on_limit,
                             bool must_be_unused, error_code& ec) {
    if (!limits.validate().empty() || !on_limit.validate(limits).empty()) {
        ec = errc::invalid_options;
        return {};
    }
    LogSink sink(limits, on_limit);
    sink.path_ = path.empty() ? path : detail::absolute_path(path);  // the program may change its own
    sink.open_file(must_be_unused, ec);
    if (ec) return {};
    sink.publish();
    return sink;
}

/// Opens what is at the path and counts it; what is over the bound goes. In memory is its end, unless text was written
/// before.
inline void LogSink::open_file(bool must_be_unused, error_code& ec) {
    const std::uint64_t stored = end_ - pending_;  // where in the stream the file should end
    detail::LogFile file = detail::LogFile::open(path_, {file_.mark().stream, stored}, must_be_unused, ec);
    if (ec) return;
    const std::uint64_t size = file.size();
    const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(size, limits_.max_bytes()));
    const std::string text = file.read(size - count, count, ec);
    if (ec) return;
    TextWindow window(limits_);
    window.append(text);
    const std::uint64_t found = file.mark().offset + size;
    if (file.mark().stream != file_.mark().stream || found > stored) end_ = found + pending_;
    else if (found < stored) file.mark_seam(stored - size, size);  // somebody cut it
    if (!file_.owner().empty()) file.set_owner(file_.owner());
    file_ = std::move(file);
    content_ = open_line_ = {};
    if (window.bytes() == size) {
        note(text);
    } else {
        replace(window.newest_half(), pending_, ec);
        if (ec) {
            file_.close();
            return;
        }
    }
    unchecked_ = 0;
    if (stats_.bytes == 0) {
        const std::lock_guard lock(shared_->mutex);
        shared_->newest.append(window.text());
    }
}

inline void LogSink::write(std::string_view text, Clock::time_point now) noexcept {
    if (text.empty()) return;
    stats_.bytes += text.size();
    pending_ += text.size();
    end_ += text.size();
    error_code ec;
    try {
        {
            const std::lock_guard lock(shared_->mutex);
            shared_->newest.append(text);
        }
        if (stats_.degraded && now < retry_at_) return publish();
        if (now >= check_at_ || stats_.degraded) {
            look_after_file();
            check_at_ = now + retry_interval;
        }
        if (!file_) open_file(false, ec);
        if (!ec) store(text, ec);
    } catch (const std::bad_alloc&) {
        ec = detail::condition_code(boost::system::errc::not_enough_memory);
    } catch (const std::exception&) {  // nothing else is known to throw
        ec = detail::condition_code(boost::system::errc::io_error);
    }
    if (ec) {
        stats_.failures += !stats_.degraded;
        stats_.last_error = ec;
        retry_at_ = now + retry_interval;
    }
    stats_.degraded = static_cast<bool>(ec);
    publish();
}

/// Gives the file up if it is not at its path any more. What was written to a removed file since it was last seen there
/// is written again, from the beginning of a line.
inline void LogSink::look_after_file() {
    if (!file_) return;
    using Standing = detail::LogFile::Standing;
    const Standing standing = file_.standing();
    if (standing == Standing::removed) {
        const std::string_view held = shared_->newest.text();
        pending_ += unchecked_;
        if (pending_ < held.size()) pending_ = held.size() - detail::line_start(held, held.size() - pending_);
    }
    if (standing != Standing::in_place) file_.close();
    unchecked_ = 0;
}

/// Writes what is not in the file yet: `text`, and before it what is still held in memory.
inline void LogSink::store(std::string_view text, error_code& ec) {
    if (pending_ != text.size()) {
        text = shared_->newest.text();
        if (pending_ <= text.size()) {
            text = text.substr(text.size() - pending_);
        } else {  // lines are missing in between, so one that the file does not have the end of is taken back
            stats_.dropped_bytes += pending_ - text.size();
            pending_ = text.size();
            go_on_after_drop(ec);
            if (ec) return;
        }
    }
    if (on_limit_.rotates()) return store_rotating(text, ec);
    if (fits(text)) return append(text, ec);
    replace(shared_->newest.newest_half(), 0, ec);
    if (!ec) pending_ = 0;
}

inline void LogSink::store_rotating(std::string_view text, error_code& ec) {
    const detail::TextSize bound = detail::bound_of(limits_);
    if (fits(text)) return append(text, ec);
    const detail::TextSize all_files = detail::bound_of(limits_, on_limit_.kept_files() + 1);
    if (const std::size_t start = detail::line_start(text, detail::fitting_suffix(text, all_files)); start > 0) {
        // More than all files together can hold: they will all be new.
        if (content_.newlines > 0) rotate({}, pending_ - start, ec);
        else replace({}, pending_ - start, ec);
        if (ec) return;
        pending_ -= start;
        text.remove_prefix(start);
    }
    while (!text.empty() && !ec) {
        if (fits(text)) return append(text, ec);
        const std::size_t lines = detail::fitting_lines(text, bound - content_);
        if (lines > 0) {
            append(text.substr(0, lines), ec);
            text.remove_prefix(lines);
        } else if (content_.newlines > 0) {
            const std::string unfinished = file_.read(content_.bytes - open_line_.bytes, open_line_.bytes, ec);
            if (!ec) rotate(unfinished, pending_, ec);
        } else {
            const std::size_t end = detail::line_end(text, 0);
            store_long_line(text.substr(0, end), ec);
            text.remove_prefix(end);
        }
    }
}

/// The file has the beginning of this line and nothing else, and both together are longer than the bound.
inline void LogSink::store_long_line(std::string_view line, error_code& ec) {
    const detail::TextSize half = detail::half_of(detail::bound_of(limits_));
    std::string joined;
    std::size_t begin = detail::fitting_suffix(line, half);
    std::string_view text = line;
    if (begin == 0) {
        text = joined = file_.read(0, content_.bytes, ec).append(line);
        begin = detail::fitting_suffix(text, half);
    }
    if (!ec) replace(text.substr(begin), pending_ - line.size(), ec);
    if (!ec) pending_ -= line.size();
}

inline bool LogSink::fits(std::string_view text) const noexcept {
    if (text.size() > limits_.max_bytes()) return false;
    detail::TextSize sum = content_ + detail::measure(text);
    sum.newlines += text.back() != '\n';
    return sum.within(detail::bound_of(limits_));
}

inline void LogSink::append(std::string_view text, error_code& ec) {
    file_.append(text, ec);
    if (ec) return;
    note(text);
    pending_ -= text.size();
    unchecked_ += text.size();
}

/// `after` bytes of the stream follow the text.
inline void LogSink::replace(std::string_view text, std::uint64_t after, error_code& ec) {
    file_.replace(text, end_ - after - text.size(), ec);
    if (ec) return;
    content_ = {};
    note(text);
    unchecked_ = text.size();
    ++stats_.compactions;
}

inline void LogSink::rotate(std::string_view unfinished, std::uint64_t after, error_code& ec) {
    file_.rotate(on_limit_.kept_files(), content_.bytes - open_line_.bytes, unfinished,
                 end_ - after - unfinished.size(), ec);
    if (ec) return;
    content_ = {};
    note(unfinished);
    unchecked_ = unfinished.size();
    ++stats_.rotations;
}

/// What is pending comes next in the file. An unfinished line there is taken back; the seam is marked first, so that
/// nobody takes the shorter file for one that begins anew.
inline void LogSink::go_on_after_drop(error_code& ec) noexcept {
    const std::uint64_t seam = content_.bytes - open_line_.bytes;
    file_.mark_seam(end_ - pending_ - seam, seam);
    if (open_line_.bytes == 0) return;
    file_.truncate(seam, ec);
    if (ec) return;
    stats_.dropped_bytes += open_line_.bytes;
    content_ -= open_line_;
    open_line_ = {};
}

/// `text` is at the end of the file now, or all of it.
inline void LogSink::note(std::string_view text) noexcept {
    const std::size_t start = detail::line_start(text, text.size());
    if (start > 0 || content_.bytes == 0) open_line_ = {};
    content_ += detail::measure(text);
    open_line_ += detail::measure(text.substr(start));
}

inline void LogSink::publish() noexcept {
    stats_.lines = content_.newlines + (open_line_.bytes > 0);
    stats_.chars = content_.chars;
    const std::lock_guard lock(shared_->mutex);
    shared_->stats = stats_;
    const std::size_t held = path_.empty() ? 0 : shared_->newest.bytes();
    if (pending_ > held) shared_->stats.dropped_bytes += pending_ - held;
}

inline LogSinkStats LogSink::stats() const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->stats;
}

inline std::vector<std::string> LogSink::tail(std::size_t count) const {
    const std::lock_guard lock(shared_->mutex);
    return shared_->newest.tail(count);
}

}  // namespace warden
