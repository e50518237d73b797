// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What is captured of one stream: all of it for who collects it, part after part for who reads while it comes.
///
/// Knows:         the readers that wait, in the order of their calls; when the writer has to wait for them.
/// Does not know: pipes, executors. A reader is told outside of the lock, which is held for copies only.
/// Thread-safety: safe; `append`, `end` and `must_pause` by one thread, which is the loop.
/// Allocates:     what is captured, the lines, and a place for each reader that waits.

#include <warden/error.hpp>
#include <warden/output/capture.hpp>

#include <boost/asio/error.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

class LineCapture {
public:
    using LineDone = std::function<void(const error_code&, std::string)>;

    /// A part, or error::eof after the last one.
    struct Answer {
        error_code code{};
        std::string line{};
    };

    explicit LineCapture(std::size_t max_bytes) noexcept : capture_(max_bytes) {}
    LineCapture(const LineCapture&) = delete;
    LineCapture& operator=(const LineCapture&) = delete;

    /// Called, by a reader, when there is room again after `must_pause` said true. Set it before the first read.
    void on_room(std::function<void()> f) { on_room_ = std::move(f); }

    /// Returns how many bytes found no room: none from the first read on.
    [[nodiscard]] std::size_t append(std::string_view text);

    /// Nothing will come any more.
    void end();

    /// Whether who appends should wait until `on_room`: somebody reads, and as much as is captured at most is
    /// unread.
    [[nodiscard]] bool must_pause();

    /// The next part if it is there and nobody waits for one: no reader is overtaken.
    [[nodiscard]] std::optional<Answer> read_now(CapturePart part);

    /// `done` is called once with the next part, at once or by the thread that appends it. The number is for `cancel`.
    [[nodiscard]] std::uint64_t read(CapturePart part, LineDone done);

    /// Whether a reader waited: he is not called any more. Otherwise he was called, or is just being called.
    [[nodiscard]] bool cancel(std::uint64_t id);

    /// Hands out what is unread; `truncated` is set if some of it found no room.
    [[nodiscard]] std::string take(bool& truncated);

private:
    // under the lock
    [[nodiscard]] std::optional<Answer> next(CapturePart part);
    [[nodiscard]] bool has_room() const noexcept {
        return !is_full() && (!readers_.empty() || capture_.text().size() <= capture_.max_bytes() / 2);
    }
    [[nodiscard]] bool is_full() const noexcept { return capture_.is_full() && !capture_.text().empty(); }
    /// Whether a pause is over now.
    [[nodiscard]] bool stop_pause() noexcept {
        if (!is_paused_ || !has_room()) return false;
        is_paused_ = false;
        return true;
    }

    void serve(std::unique_lock<std::mutex>& lock);

    std::function<void()> on_room_;
    std::mutex mutex_;
    Capture capture_;
    struct Reader {
        CapturePart part;
        LineDone done;
    };
    std::map<std::uint64_t, Reader> readers_;  // those that wait
    std::uint64_t next_id_ = 1;
    bool is_read_ = false;     // by parts: nothing is dropped
    bool is_serving_ = false;  // answers are on their way to readers: who comes now comes after them
    bool is_paused_ = false;
    bool at_end_ = false;
};

// -- implementation ----------------------------------------------------------

inline std::optional<LineCapture::Answer> LineCapture::next(CapturePart part) {
    if (auto text = capture_.take_part(part, at_end_)) return Answer{{}, std::move(*text)};
    if (at_end_) return Answer{boost::asio::error::eof, {}};
    return std::nullopt;
}

/// Calls readers that wait, in their order, as long as there are parts for them; unless a thread is doing that, which
/// then goes on.
inline void LineCapture::serve(std::unique_lock<std::mutex>& lock) {
    if (is_serving_) return;
    std::vector<std::pair<LineDone, Answer>> served;
    is_serving_ = true;
    for (;;) {
        while (!readers_.empty()) {
            auto answer = next(readers_.begin()->second.part);
            if (!answer) break;
            served.emplace_back(std::move(readers_.extract(readers_.begin()).mapped().done), std::move(*answer));
        }
        if (served.empty()) break;
        lock.unlock();
        for (auto& [done, answer] : served) done(answer.code, std::move(answer.line));
        served.clear();
        lock.lock();  // some may have come meanwhile
    }
    is_serving_ = false;
}

inline std::size_t LineCapture::append(std::string_view text) {
    std::unique_lock lock(mutex_);
    if (!is_read_) return text.size() - capture_.append(text);
    capture_.append_whole(text);
    serve(lock);
    return 0;
}

inline void LineCapture::end() {
    std::unique_lock lock(mutex_);
    at_end_ = true;
    serve(lock);
}

inline bool LineCapture::must_pause() {
    const std::lock_guard lock(mutex_);
    return is_paused_ = is_read_ && (is_full() || (is_paused_ && !has_room()));
}

inline std::optional<LineCapture::Answer> LineCapture::read_now(CapturePart part) {
    std::unique_lock lock(mutex_);
    is_read_ = true;
    if (is_serving_ || !readers_.empty()) return std::nullopt;
    auto answer = next(part);
    const bool room = answer && stop_pause();
    lock.unlock();
    if (room) on_room_();
    return answer;
}

inline std::uint64_t LineCapture::read(CapturePart part, LineDone done) {
    std::unique_lock lock(mutex_);
    is_read_ = true;
    const std::uint64_t id = next_id_++;
    readers_.emplace(id, Reader{part, std::move(done)});
    serve(lock);
    const bool room = stop_pause();
    lock.unlock();
    if (room) on_room_();
    return id;
}

inline bool LineCapture::cancel(std::uint64_t id) {
    const std::lock_guard lock(mutex_);
    return readers_.erase(id) != 0;
}

inline std::string LineCapture::take(bool& truncated) {
    const std::lock_guard lock(mutex_);
    truncated = truncated || capture_.truncated();
    return capture_.take();
}

}  // namespace warden::detail
