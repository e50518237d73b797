// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Holds off pthread_cancel(3) for the calling thread while it lives: for a wait in which another thread uses the
/// caller's stack.
///
/// Thread-safety: belongs to the thread that made it.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <pthread.h>

namespace warden::detail {

class CancellationHeldOff {
public:
    CancellationHeldOff() noexcept { ::pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &former_); }
    ~CancellationHeldOff() { ::pthread_setcancelstate(former_, nullptr); }
    CancellationHeldOff(const CancellationHeldOff&) = delete;
    CancellationHeldOff& operator=(const CancellationHeldOff&) = delete;

private:
    int former_ = 0;
};

}  // namespace warden::detail
#endif
