// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `LoopWait`, by which an event loop waits for what a `PathWatch` reports.
///
/// Knows:         which system this is.
/// Does not know: what happened.
/// Thread-safety: on the loop, after `assign`.
/// Allocates:     as the loop does; on Windows a handler a wait.

#include <warden/detail/logs/loop_wait_posix.hpp>
#include <warden/detail/logs/loop_wait_windows.hpp>
#include <warden/detail/logs/path_watch.hpp>
#include <warden/detail/system/event_loop.hpp>
#include <warden/error.hpp>

#include <concepts>
#include <type_traits>

namespace warden::detail {

/// Made with the loop, of which it is a guest; closed when it is destroyed.
template <class Wait>
concept WaitsInLoop =
    std::constructible_from<Wait, EventLoop&> && !std::is_copy_constructible_v<Wait> &&
    requires(Wait & wait, const Wait& held, PathWatch::Handle handle, void (*look)(), error_code& ec) {
    // Waits for this one, which stays with its owner, from now on.
    wait.assign(handle, ec);

    { held.is_open() } -> std::same_as<bool>;

    // Calls `look()` once, on the loop, when there may be something to look at; not after `close`.
    wait.async_wait(look);

    wait.close();
};
static_assert(WaitsInLoop<LoopWait>);

}  // namespace warden::detail
