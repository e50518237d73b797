// SPDX-License-Identifier: MIT
// A program that starts a detached process and comes to an end.
#pragma once

/// `host detach MECHANISM DIRECTORY ENDING COMMAND...`: starts the command detached, prints its uuid, and ends:
/// `return`, or `stay` until it is killed, for a minute at most.
[[nodiscard]] int detach(int argc, char** argv);
