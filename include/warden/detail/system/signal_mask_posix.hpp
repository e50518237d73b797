// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Blocks all signals for the calling thread while it lives.
///
/// Thread-safety: belongs to the thread that made it.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <csignal>

#include <pthread.h>

namespace warden::detail {

class AllSignalsBlocked {
public:
    AllSignalsBlocked() noexcept {
        sigset_t all;
        sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &former_);
    }
    ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &former_, nullptr); }
    AllSignalsBlocked(const AllSignalsBlocked&) = delete;
    AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

private:
    sigset_t former_;
};

}  // namespace warden::detail
#endif
