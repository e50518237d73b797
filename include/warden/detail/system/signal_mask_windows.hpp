// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Windows delivers no signals to a running thread: console events come in a thread of their own, so that there is
/// nothing to block.

#include <warden/platform.hpp>

#if WARDEN_OS_WINDOWS
namespace warden::detail {

class AllSignalsBlocked {
public:
    AllSignalsBlocked() noexcept {}
};

}  // namespace warden::detail
#endif
