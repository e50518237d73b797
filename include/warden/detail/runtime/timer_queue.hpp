// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The timers that are armed, in the order in which they are due.
///
/// Knows:         deadlines, and the order of arming where deadlines are equal.
/// Does not know: clocks; the time is an argument.
/// Thread-safety: none.
/// Allocates:     room for one pointer for each timer that is armed at the same time.

#include <warden/detail/base/job.hpp>
#include <warden/timeout.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace warden::detail {

/// One timer. Stays where it is while it is armed.
struct TimerEntry {
    static constexpr std::size_t not_armed = static_cast<std::size_t>(-1);

    SteadyTime deadline{};
    std::uint64_t order = 0;
    std::size_t index = not_armed;  ///< Its place in the queue.
    Job job;
};

class TimerQueue {
public:
    /// Sets the deadline of `entry`; if it is armed, its former deadline is forgotten.
    void arm(TimerEntry& entry, SteadyTime deadline);
    /// Does nothing if `entry` is not armed.
    void disarm(TimerEntry& entry) noexcept;

    /// The earliest deadline; the end of time if nothing is armed.
    [[nodiscard]] SteadyTime next_deadline() const noexcept {
        return heap_.empty() ? SteadyTime::max() : heap_.front()->deadline;
    }

    /// What is armed from now on comes after this mark.
    [[nodiscard]] std::uint64_t mark() const noexcept { return next_order_; }
    /// Disarms the first timer that is due at `now` and was armed before `mark`, and gives its job; an empty job if
    /// there is none. With the mark, a job that arms its timer in the past again does not keep the caller for ever.
    [[nodiscard]] Job take_due(SteadyTime now, std::uint64_t mark) noexcept;

private:
    [[nodiscard]] static bool is_before(const TimerEntry& a, const TimerEntry& b) noexcept {
        return a.deadline != b.deadline ? a.deadline < b.deadline : a.order < b.order;
    }
    void place(TimerEntry& entry, std::size_t index) noexcept {
        heap_[index] = &entry;
        entry.index = index;
    }
    void sift_up(std::size_t index) noexcept;
    void sift_down(std::size_t index) noexcept;

    std::vector<TimerEntry*> heap_;  // binary: the children of i are 2i+1 and 2i+2
    std::uint64_t next_order_ = 0;
};

// -- implementation ----------------------------------------------------------

inline void TimerQueue::arm(TimerEntry& entry, SteadyTime deadline) {
    disarm(entry);
    heap_.push_back(&entry);
    entry.deadline = deadline;
    entry.order = next_order_++;
    entry.index = heap_.size() - 1;
    sift_up(entry.index);
}

inline void TimerQueue::disarm(TimerEntry& entry) noexcept {
    if (entry.index == TimerEntry::not_armed) return;
    const std::size_t index = std::exchange(entry.index, TimerEntry::not_armed);
    TimerEntry& last = *heap_.back();
    heap_.pop_back();
    if (index == heap_.size()) return;  // it was the last one itself
    place(last, index);
    sift_up(index);
    sift_down(last.index);
}

inline Job TimerQueue::take_due(SteadyTime now, std::uint64_t mark) noexcept {
    if (heap_.empty()) return {};
    TimerEntry& first = *heap_.front();
    if (first.deadline > now || first.order >= mark) return {};
    disarm(first);
    return std::move(first.job);
}

inline void TimerQueue::sift_up(std::size_t index) noexcept {
    while (index > 0) {
        const std::size_t parent = (index - 1) / 2;
        TimerEntry& above = *heap_[parent];
        TimerEntry& here = *heap_[index];
        if (!is_before(here, above)) return;
        place(above, index);
        place(here, parent);
        index = parent;
    }
}

inline void TimerQueue::sift_down(std::size_t index) noexcept {
    for (;;) {
        std::size_t child = 2 * index + 1;
        if (child >= heap_.size()) return;
        if (child + 1 < heap_.size() && is_before(*heap_[child + 1], *heap_[child])) ++child;
        TimerEntry& below = *heap_[child];
        TimerEntry& here = *heap_[index];
        if (!is_before(below, here)) return;
        place(below, index);
        place(here, child);
        index = child;
    }
}

}  // namespace warden::detail
