// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What can be wrong with a probe; see probe.hpp, which includes this.
///
/// Thread-safety: distinct objects: safe.

#include <warden/supervision/probe.hpp>

#include <string>
#include <utility>
#include <vector>

namespace warden {

// -- implementation ----------------------------------------------------------

inline void Probe::add_timing_mistakes(std::vector<std::string>& found, Nanoseconds of_whole) const {
    using detail::length_in_words;
    constexpr Nanoseconds shortest = std::chrono::milliseconds(1);
    const auto length = [&](const char* what, Nanoseconds value, Nanoseconds low) {
        if (value >= low && value <= ProbeTiming::longest) return;
        found.push_back(std::string(what) + " is " + length_in_words(value) + "; it must be between " +
                        length_in_words(low) + " and " + length_in_words(ProbeTiming::longest));
    };
    const auto threshold = [&](const char* what, std::uint32_t value) {
        if (value >= 1 && value <= ProbeTiming::highest_threshold) return;
        found.push_back(std::string(what) + " is " + std::to_string(value) + "; it must be between 1 and " +
                        std::to_string(ProbeTiming::highest_threshold));
    };
    length("initial_delay", timing_.initial_delay, Nanoseconds::zero());
    length("interval", timing_.interval, shortest);
    length("timeout", timing_.timeout, shortest);
    const Nanoseconds deadline = timing_.deadline.value_or(of_whole);
    length("deadline", deadline, shortest);
    if (timing_.deadline && *timing_.deadline <= timing_.initial_delay && *timing_.deadline >= shortest)
        found.push_back("deadline is " + length_in_words(deadline) + " and initial_delay is " +
                        length_in_words(timing_.initial_delay) + "; the deadline must be later");
    threshold("success_threshold", timing_.success_threshold);
    threshold("failure_threshold", timing_.failure_threshold);
    if (kind_ == ProbeKind::delay && length_ > deadline)
        found.push_back("the delay is " + length_in_words(length_) + ", the deadline " + length_in_words(deadline) +
                        "; give a deadline after the delay: within(...)");
}

inline void Probe::add_own_mistakes(std::vector<std::string>& found) const {
    const bool is_line = kind_ == ProbeKind::log_line || kind_ == ProbeKind::fails_on_line;
    const bool has_path = kind_ == ProbeKind::unix_socket || kind_ == ProbeKind::file;
    const bool is_group = kind_ == ProbeKind::all_of || kind_ == ProbeKind::any_of;
    if (kind_ == ProbeKind::delay && length_ < Nanoseconds::zero())
        found.emplace_back("the delay is negative; it must be 0 or more");
    if (kind_ == ProbeKind::tcp && port_ == 0) found.emplace_back("port 0 is none; choose one from 1 to 65535");
    if (kind_ == ProbeKind::tcp && !detail::reads_as_address(text_))
        found.push_back("'" + text_ + "' is no numeric address; write for example 127.0.0.1");
    if (is_line && text_.empty()) found.emplace_back("the text is empty, so that every line holds it; write a text");
    if (is_line && text_.find('\n') != std::string::npos)
        found.emplace_back("the text holds a newline, so that no line holds it; write a part of one line");
    if (has_path && path_.empty()) found.emplace_back("the path is empty; write one");
    if (has_path && detail::has_nul(path_.native())) found.emplace_back("a NUL byte is in the path");
    if (kind_ == ProbeKind::command)
        if (const error_code ec = command_.validate()) found.push_back(ec.message());
    if (kind_ == ProbeKind::custom && !function_) found.emplace_back("there is no function; give one");
    if (kind_ == ProbeKind::check && !check_) found.emplace_back("there is no check; give one");
    found.insert(found.end(), mistakes_.begin(), mistakes_.end());
    if (is_group && parts_.empty()) found.emplace_back("there are no probes in it; write one or more");
}

/// `of_whole`: the deadline of what this is a part of.
inline void Probe::add_mistakes(std::vector<std::string>& found, Nanoseconds of_whole) const {
    std::vector<std::string> own;
    add_own_mistakes(own);
    add_timing_mistakes(own, of_whole);
    for (const std::string& mistake : own) found.push_back(to_string() + ": " + mistake);
    for (const Probe& part : parts_) part.add_mistakes(found, timing_.deadline.value_or(of_whole));
}

inline std::vector<std::string> Probe::validate() const {
    std::vector<std::string> found;
    add_mistakes(found, ProbeTiming::default_deadline);
    return found;
}

}  // namespace warden
