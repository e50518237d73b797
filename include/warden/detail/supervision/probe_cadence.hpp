// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// When the next attempt of a probe is made, and what the attempts so far say.
///
/// Knows:         the timing of a probe; times and results, which it is told.
/// Does not know: clocks, timers, what an attempt is.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Allocates:     the reasons.

#include <warden/supervision/probe.hpp>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

namespace warden::detail {

/// What a probe is for.
enum class ProbeUse : std::uint8_t {
    start_up,  ///< Until the process is ready, or the deadline is over. The first word is the last.
    liveness,  ///< As long as the process runs. A failure is taken back by a success.
};

enum class ProbeVerdict : std::uint8_t { pending, good, bad };

/// What there is to do, and when.
struct ProbeNext {
    enum Action : std::uint8_t {
        attempt,  ///< Begin an attempt.
        give_up,  ///< An attempt is under way; if it has not ended by then, it has failed.
        expire,   ///< The deadline is over.
        nothing,
    };
    Action action = nothing;
    SteadyTime at = SteadyTime::max();

    friend bool operator==(const ProbeNext&, const ProbeNext&) = default;
};

class ProbeCadence {
public:
    static constexpr std::chrono::milliseconds first_pause{10};

    /// `deadline`: of the whole that this probe is a part of; the end of time if it has none.
    ProbeCadence(const ProbeTiming& timing, ProbeUse use, SteadyTime start, SteadyTime deadline = SteadyTime::max());

    [[nodiscard]] ProbeNext next() const noexcept { return next_; }
    [[nodiscard]] ProbeVerdict verdict() const noexcept { return verdict_; }
    /// Why the last attempt failed, or the whole; empty if nothing has.
    [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
    [[nodiscard]] std::uint64_t attempts() const noexcept { return attempts_; }
    /// The end of time if there is none.
    [[nodiscard]] SteadyTime deadline() const noexcept { return deadline_; }
    /// Whether the deadline made it bad.
    [[nodiscard]] bool has_expired() const noexcept { return has_expired_; }

    /// Its facts come by themselves, by `settle`: no attempts are made, only the deadline counts.
    void expect_facts() noexcept {
        next_ = deadline_ == SteadyTime::max() ? ProbeNext{} : ProbeNext{ProbeNext::expire, deadline_};
    }
    /// Why it is not ready yet, for when the deadline is over.
    void note(std::string reason) { reason_ = std::move(reason); }

    void began(SteadyTime now) noexcept;
    void succeeded(SteadyTime now) noexcept;
    void failed(SteadyTime now, std::string reason);
    /// The time of `next` has come for `give_up` or `expire`.
    void expired(SteadyTime now);

    /// What is no attempt but a fact: it is ready, or will not be.
    void settle(ProbeVerdict verdict, std::string reason = {});

private:
    [[nodiscard]] bool is_over() const noexcept {
        return use_ == ProbeUse::start_up && verdict_ != ProbeVerdict::pending;
    }
    void schedule(SteadyTime now) noexcept;
    [[nodiscard]] Nanoseconds pause() noexcept;
    void expire();

    ProbeTiming timing_;
    ProbeUse use_;
    ProbeVerdict verdict_ = ProbeVerdict::pending;
    ProbeNext next_;
    SteadyTime start_;
    SteadyTime deadline_ = SteadyTime::max();
    SteadyTime began_{};
    Nanoseconds next_pause_ = first_pause;
    std::uint32_t good_in_a_row_ = 0;
    std::uint32_t bad_in_a_row_ = 0;
    std::uint64_t attempts_ = 0;
    bool has_expired_ = false;
    std::string reason_;
};

/// What several probes say together: all of them, or one of them. No parts say nothing.
class ProbeTally {
public:
    explicit ProbeTally(bool needs_all) noexcept : needs_all_(needs_all) {}
    void add(ProbeVerdict verdict) noexcept {
        ++count_;
        good_ += verdict == ProbeVerdict::good ? 1u : 0u;
        bad_ += verdict == ProbeVerdict::bad ? 1u : 0u;
    }
    [[nodiscard]] ProbeVerdict verdict() const noexcept {
        if (count_ == 0) return ProbeVerdict::pending;
        if (needs_all_)
            return bad_ > 0 ? ProbeVerdict::bad : good_ == count_ ? ProbeVerdict::good : ProbeVerdict::pending;
        return good_ > 0 ? ProbeVerdict::good : bad_ == count_ ? ProbeVerdict::bad : ProbeVerdict::pending;
    }

private:
    bool needs_all_;
    std::size_t count_ = 0;
    std::size_t good_ = 0;
    std::size_t bad_ = 0;
};

// -- implementation ----------------------------------------------------------

inline ProbeCadence::ProbeCadence(const ProbeTiming& timing, ProbeUse use, SteadyTime start, SteadyTime deadline)
    : timing_(timing), use_(use), start_(start) {
    if (use_ == ProbeUse::start_up) {
        const bool is_whole = deadline == SteadyTime::max();
        const auto own = timing_.deadline ? timing_.deadline
                         : is_whole       ? std::optional<Nanoseconds>(ProbeTiming::default_deadline)
                                          : std::nullopt;
        deadline_ = own ? std::min(deadline, deadline_after(start, *own)) : deadline;
    }
    const SteadyTime first = deadline_after(start, timing_.initial_delay);
    next_ = first < deadline_ ? ProbeNext{ProbeNext::attempt, first} : ProbeNext{ProbeNext::expire, deadline_};
}

inline void ProbeCadence::began(SteadyTime now) noexcept {
    if (is_over()) return;
    ++attempts_;
    began_ = now;
    next_ = {ProbeNext::give_up, std::min(deadline_after(now, timing_.timeout), deadline_)};
}

inline void ProbeCadence::succeeded(SteadyTime now) noexcept {
    if (is_over()) return;
    bad_in_a_row_ = 0;
    good_in_a_row_ = std::min(good_in_a_row_ + 1, timing_.success_threshold);
    if (use_ == ProbeUse::start_up ? good_in_a_row_ == timing_.success_threshold : true) verdict_ = ProbeVerdict::good;
    if (verdict_ == ProbeVerdict::good) reason_.clear();
    if (is_over()) next_ = {};
    else schedule(now);
}

inline void ProbeCadence::failed(SteadyTime now, std::string reason) {
    if (is_over()) return;
    good_in_a_row_ = 0;
    reason_ = std::move(reason);
    if (use_ == ProbeUse::start_up) return now < deadline_ ? schedule(now) : expire();
    bad_in_a_row_ = std::min(bad_in_a_row_ + 1, timing_.failure_threshold);
    if (bad_in_a_row_ == timing_.failure_threshold) verdict_ = ProbeVerdict::bad;
    schedule(now);
}

inline void ProbeCadence::expired(SteadyTime now) {
    if (is_over()) return;
    const bool is_cut_short = next_.action == ProbeNext::give_up && next_.at == deadline_ && !reason_.empty();
    if (is_cut_short) return expire();  // what a whole attempt said is worth more
    if (next_.action == ProbeNext::give_up)
        return failed(now, "no answer within " + length_in_words(std::min(timing_.timeout, next_.at - began_)));
    if (next_.action == ProbeNext::expire) expire();
}

inline void ProbeCadence::settle(ProbeVerdict verdict, std::string reason) {
    if (is_over()) return;
    verdict_ = verdict;
    reason_ = std::move(reason);
    if (use_ == ProbeUse::start_up) next_ = {};
}

/// The next attempt; none begins when the deadline is over.
inline void ProbeCadence::schedule(SteadyTime now) noexcept {
    const SteadyTime at = std::max(now, deadline_after(began_, pause()));
    next_ = at < deadline_ ? ProbeNext{ProbeNext::attempt, at} : ProbeNext{ProbeNext::expire, deadline_};
}

inline Nanoseconds ProbeCadence::pause() noexcept {
    if (use_ == ProbeUse::liveness) return timing_.interval;
    const Nanoseconds length = std::min(next_pause_, timing_.interval);
    next_pause_ = std::min(next_pause_ * 2, timing_.interval);
    return length;
}

inline void ProbeCadence::expire() {
    has_expired_ = true;
    verdict_ = ProbeVerdict::bad;
    reason_ = "not ready within " + length_in_words(deadline_ - start_) + (reason_.empty() ? "" : ": ") + reason_;
    next_ = {};
}

}  // namespace warden::detail
