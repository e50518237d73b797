// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The write end of a pipe whose end of file says that this program has ended, where the system has no pidfds.
///
/// Knows:         that a forked copy of the program would hold the pipe open: fork(3) closes it in the copy. A copy
/// that
///                is made by clone(2) itself keeps it.
/// Thread-safety: safe.

#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <mutex>
#include <vector>

#include <pthread.h>
#include <unistd.h>

namespace warden::detail {

class Lifeline {
public:
    Lifeline() = default;
    Lifeline(const Lifeline&) = delete;
    ~Lifeline() { hold(UniqueFd()); }

    /// Holds `end` instead of the one before.
    void hold(UniqueFd end);

private:
    /// Those of all managers. The lock is held over each fork, so that the copy finds it whole.
    struct Ends {
        std::mutex mutex;
        std::vector<int> all;
    };
    [[nodiscard]] static Ends& ends();

    UniqueFd end_;
};

// -- implementation ----------------------------------------------------------

WARDEN_ONE_PER_PROGRAM inline Lifeline::Ends& Lifeline::ends() {
    static auto* const shared = [] {
        ::pthread_atfork([] { ends().mutex.lock(); }, [] { ends().mutex.unlock(); },
                         [] {
                             for (const int end : ends().all) ::close(end);
                             ends().all.clear();
                             ends().mutex.unlock();
                         });
        return new Ends;
    }();
    return *shared;
}

inline void Lifeline::hold(UniqueFd end) {
    if (!end && !end_) return;
    Ends& shared = ends();
    const std::lock_guard lock(shared.mutex);
    if (end_) std::erase(shared.all, end_.get());
    if (end) shared.all.push_back(end.get());
    end_ = std::move(end);
}

}  // namespace warden::detail
#endif
