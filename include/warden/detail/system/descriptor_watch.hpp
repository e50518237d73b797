// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// `DescriptorWatch`, a descriptor whose readiness an event loop waits for.
///
/// Knows:         that the registration with the loop can be refused (epoll_ctl(2): ENOMEM, ENOSPC, EPERM).
/// Does not know: what is read or written.
/// Thread-safety: distinct objects: safe. One object: on the loop, or by who alone has it.
/// Errors:        an `error_code`; a descriptor that is refused stays with the caller.

#include <warden/detail/base/unique_function.hpp>
#include <warden/detail/system/descriptor_watch_linux.hpp>
#include <warden/detail/system/descriptor_watch_portable.hpp>
#include <warden/detail/system/event_loop.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>
#include <warden/platform.hpp>

#include <concepts>
#include <utility>

namespace warden::detail {

/// Made with the loop, watches nothing yet; what it watches is closed when it is destroyed.
template <class Watch, class Descriptor>
concept WatchesDescriptor =
    std::constructible_from<Watch, EventLoop&> && !std::is_copy_constructible_v<Watch> &&
    requires(Watch & watch, const Watch& held, Descriptor&& owned, int borrowed, typename Watch::Done done) {
    // Registers a descriptor and takes it over. What was open before is closed. On error it stays with the caller.
    { watch.open(std::move(owned)) } -> std::same_as<error_code>;
    // Registers a descriptor that stays with its owner, who closes this watch first.
    { watch.borrow(borrowed) } -> std::same_as<error_code>;

    // `done` is called on the loop once: when the descriptor is ready, or with an error, ECANCELED when it is closed
    // first. An end of file or an error of the descriptor is readiness. One wait of each kind at a time.
    watch.wait_readable(std::move(done));
    watch.wait_writable(std::move(done));
    // For files that report their changes so, such as cgroup.events: POLLERR or POLLPRI.
    watch.wait_error(std::move(done));

    { held.is_open() } -> std::same_as<bool>;
    // The descriptor; -1 if none is open.
    { watch.get() } -> std::same_as<int>;

    // Takes the descriptor off the loop, and closes it if it was taken over. Does nothing if none is open.
    { watch.close() }
    noexcept;
};
#if WARDEN_OS_POSIX
static_assert(WatchesDescriptor<DescriptorWatch, UniqueFd>);
#endif

}  // namespace warden::detail
