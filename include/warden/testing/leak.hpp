// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a test left behind, as a value, and as a sentence that says what to do.
///
/// Knows:         the kinds of leak and the advice for each.
/// Does not know: how leaks are found or ended.
/// Thread-safety: values.

#include <warden/fwd.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace warden::testing {

enum class LeakKind : std::uint8_t {
    process,      ///< A descendant that still runs.
    zombie,       ///< One that has ended and that nobody has waited for.
    tcp_port,     ///< A TCP socket that listens, IPv4 or IPv6.
    unix_socket,  ///< A unix socket that listens.
    pipe,         ///< A descriptor of a pipe in this program, or a descendant that has a pipe of this program open.
    unknown,      ///< What could not be looked at, and why: there may be leaks that were not seen.
};
inline constexpr std::size_t leak_kinds = 6;

struct Leak {
    LeakKind kind = LeakKind::process;
    Pid pid = 0;          ///< Of the process itself; of the holder of a socket or pipe, which may be this program.
    Pid parent = 0;       ///< Of `pid`, when it was looked at.
    std::string command;  ///< The arguments of `pid`; in brackets the name of one that has none.
    std::string detail;   ///< "127.0.0.1:8080", "descriptor 7, the end for writing"; of a process often nothing.
};

/// "process", "zombie", ...
[[nodiscard]] constexpr std::string_view to_string(LeakKind kind) noexcept;

/// What to do about a leak of that kind.
[[nodiscard]] constexpr std::string_view advice(LeakKind kind) noexcept;

/// One line, without its end: "process 4711, parent 4700: sleep 300".
[[nodiscard]] inline std::string to_string(const Leak& leak);

/// A line for each, indented, and one of advice for each kind; empty if there are none.
[[nodiscard]] inline std::string to_string(const std::vector<Leak>& leaks);

// -- implementation ----------------------------------------------------------
namespace detail {

struct LeakWords {
    std::string_view name;
    std::string_view advice;
};
inline constexpr std::array<LeakWords, leak_kinds> leak_words{{
    {"process",
     "stop it and wait for its end before the test ends; a warden::ManagedProcess does both, for all that the "
     "process starts"},
    {"zombie", "wait for it: waitpid(2) or what started it; if it was orphaned by its parent, wait for it there"},
    {"tcp_port", "close the socket before the test ends, or stop who listens"},
    {"unix_socket", "close the socket before the test ends, or stop who listens"},
    {"pipe", "close the descriptor, or stop who holds the other end: until then its reader sees no end of file"},
    {"unknown", "let this program read /proc, with all of its descendants in it"},
}};
static_assert(!leak_words.back().advice.empty(), "a kind has no words");

}  // namespace detail

constexpr std::string_view to_string(LeakKind kind) noexcept {
    return detail::leak_words[static_cast<std::size_t>(kind)].name;
}

constexpr std::string_view advice(LeakKind kind) noexcept {
    return detail::leak_words[static_cast<std::size_t>(kind)].advice;
}

inline std::string to_string(const Leak& leak) {
    const bool is_process = leak.kind == LeakKind::process || leak.kind == LeakKind::zombie;
    std::string text(to_string(leak.kind));
    if (leak.kind == LeakKind::unknown) return text + ": " + leak.detail;
    if (!is_process) text += ' ' + leak.detail + ": process";
    text += ' ' + std::to_string(leak.pid) + ", parent " + std::to_string(leak.parent);
    if (is_process && !leak.detail.empty()) text += ", " + leak.detail;
    text += ": " + leak.command;
    return text;
}

inline std::string to_string(const std::vector<Leak>& leaks) {
    std::string text;
    std::array<bool, leak_kinds> seen{};
    for (const Leak& leak : leaks) {
        text += "  - " + to_string(leak) + '\n';
        seen[static_cast<std::size_t>(leak.kind)] = true;
    }
    for (std::size_t i = 0; i < leak_kinds; ++i) {
        if (!seen[i]) continue;
        text +=
            "  " + std::string(detail::leak_words[i].name) + ": " + std::string(detail::leak_words[i].advice) + '\n';
    }
    return text;
}

}  // namespace warden::testing
