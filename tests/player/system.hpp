// SPDX-License-Identifier: MIT
// What the player needs of the system. All words are in UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace player {

using Words = std::vector<std::string>;

/// Does one order after the other (main.cpp). The code to end with.
int play(const Words& words);

enum class Stream { out, err };

/// Writes all of it. Ends this program if nobody reads any more.
void put(Stream to, std::string_view text);

/// What comes in next, at most `size` bytes; empty at the end.
[[nodiscard]] std::string read_input(std::size_t size);

void close_output();
void close_input();

/// To the end of a file, in one write, in nobody's way.
void append(const std::string& path, std::string_view text);

[[nodiscard]] long long own_pid();

/// Its variables, each with a NUL.
[[nodiscard]] std::string environment();

/// How many descriptors it has, or handles that it was given at its start.
[[nodiscard]] int handle_count();

/// Starts a child that has our streams and does this; says its pid before it begins.
void start(const Words& orders);

/// Waits for a support::Gate of that name to be opened.
void await(const std::string& gate);

/// Heeds no polite request to end from now on.
void ignore_requests();

/// Leaves its session and group, or its console.
void go_away();

[[noreturn]] void crash();
[[noreturn]] void stay();
[[noreturn]] void end(unsigned long long code);

}  // namespace player
