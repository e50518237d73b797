// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The trees whose keepers were killed, and whether the guardian has ended them.
///
/// Knows:         keepers by their pid; that the guardian may report a tree before the loss of its keeper is noticed.
/// Does not know: the guardian, sockets, signals.
/// Thread-safety: `count` is safe; the rest is for the loop.
/// Errors:        none.

#include <warden/fwd.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <utility>

namespace warden::detail {

class UnsettledTrees {
public:
    using Settled = std::function<void(bool tree_ended)>;

    /// `keeper` was killed. `settled` is called once: with true as soon as the guardian has ended the tree; with false
    /// if that can no longer be known. True is passed at once if the guardian has reported the tree already.
    void add(Pid keeper, Settled settled);

    /// `keeper` was killed, and nobody will report its tree.
    void add_unknown(const Settled& settled) {
        ++count_;  // for good
        settled(false);
    }

    /// The guardian has ended the tree of `keeper`.
    void tree_ended(Pid keeper);

    /// A new keeper has that number: what was reported of a former one with it counts no more.
    void forget_early(Pid keeper) { std::erase(early_, keeper); }

    /// The guardian was lost: nobody will report the trees that are left.
    void guardian_lost();

    /// How many have not ended yet, as far as is known.
    [[nodiscard]] std::size_t count() const noexcept { return count_; }

private:
    static constexpr std::size_t max_early = 256;

    std::atomic<std::size_t> count_{0};
    std::map<Pid, Settled> waiting_;
    std::deque<Pid> early_;  // keepers whose trees ended before their loss was noticed
};

// -- implementation ----------------------------------------------------------

inline void UnsettledTrees::add(Pid keeper, Settled settled) {
    if (const auto early = std::find(early_.begin(), early_.end(), keeper); early != early_.end()) {
        early_.erase(early);
        return settled(true);
    }
    ++count_;
    waiting_[keeper] = std::move(settled);
}

inline void UnsettledTrees::tree_ended(Pid keeper) {
    const auto found = waiting_.find(keeper);
    if (found == waiting_.end()) {
        if (early_.size() == max_early) early_.pop_front();
        return early_.push_back(keeper);
    }
    const Settled settled = std::move(found->second);
    waiting_.erase(found);
    --count_;
    settled(true);
}

inline void UnsettledTrees::guardian_lost() {
    early_.clear();
    for (auto& [keeper, settled] : std::exchange(waiting_, {})) settled(false);
}

}  // namespace warden::detail
#endif
