// SPDX-License-Identifier: MIT
// Ways to leave something behind, by name. Whatever is started here ends by itself after a minute.
#pragma once

#include <string>

namespace leaks {

/// Leaves behind what `name` says; returns when it is there. "nothing" starts a process and waits for it, opens a port
/// and a pipe and closes them.
void leave(const std::string& name);

/// Starts `sleep 60` in a session of its own, orphaned, and returns when it runs.
void leave_daemon();

/// A child that has ended and waits to be waited for.
int leave_zombie();

/// An orphan in a session of its own that ends by itself half a second from now.
void leave_ending();

}  // namespace leaks
