// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// How it is found out whether a process is ready, or still does its work: a probe, as data.
///
/// Knows:         kinds of probes, how often they are made, and what is wrong with one.
/// Does not know: sockets, files, processes; `supervision/readiness.hpp` makes the attempts.
/// Thread-safety: distinct objects: safe. One shared object: guard it yourself.
/// Errors:        `validate`.

#include <warden/command_line.hpp>
#include <warden/timeout.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {
namespace detail {
class ProbeCheck;
}

/// What a probe looks at.
enum class ProbeKind : std::uint8_t {
    delay,          ///< Nothing: the process lives so long.
    tcp,            ///< A TCP port that accepts a connection, and whose listener is of the tree of the process.
    unix_socket,    ///< The same for a Unix socket.
    file,           ///< Something is at a path.
    log_line,       ///< A line of the output holds a text.
    fails_on_line,  ///< A line of the output holds a text that means failure, at once.
    command,        ///< A command exits with code 0.
    notify,         ///< The process says READY=1, and then WATCHDOG=1, to its notification socket; see sd_notify(3).
    custom,         ///< A function of the program.
    check,          ///< Another kind, by a header of its own, such as `supervision/http_probe.hpp`.
    all_of,         ///< Several probes, all of them.
    any_of,         ///< Several probes, one of them.
};

/// The name of the enumerator.
[[nodiscard]] constexpr std::string_view to_string(ProbeKind kind) noexcept;

/// When attempts are made, and what they are worth. Lengths are at most `longest`.
struct ProbeTiming {
    Nanoseconds initial_delay{};  ///< Before the first attempt; 0 and more.
    /// From the begin of an attempt to that of the next one, 1 ms and more. During start-up the first pauses are
    /// shorter: 10 ms, then twice the former one, up to this.
    Nanoseconds interval = std::chrono::seconds(1);
    Nanoseconds timeout = std::chrono::seconds(2);  ///< For one attempt, 1 ms and more.
    /// For the whole start-up, initial delay included, 1 ms and more; default: `default_deadline`, and for a part of
    /// `all_of` and `any_of` that of the whole.
    std::optional<Nanoseconds> deadline{};
    std::uint32_t success_threshold = 1;  ///< Attempts in a row that make it ready; 1 to `highest_threshold`.
    /// Attempts in a row that make a process which was ready fail; 1 to `highest_threshold`. During start-up only the
    /// deadline counts.
    std::uint32_t failure_threshold = 3;

    static constexpr Nanoseconds default_deadline = std::chrono::seconds(60);
    static constexpr Nanoseconds longest = std::chrono::hours(24 * 7);
    static constexpr std::uint32_t highest_threshold = 1000;

    friend bool operator==(const ProbeTiming&, const ProbeTiming&) = default;
};

/// One probe, or several. Built like a sentence:
/// `Probe::all_of({Probe::tcp(8000).every(500ms), Probe::fails_on_line("out of memory")}).within(30s)`
class Probe {
public:
    /// Nothing that went wrong; else why the process is not ready, in words. Runs on a callback thread of the manager,
    /// one call at a time; what it throws is a failure.
    using Function = std::function<std::optional<std::string>()>;

    /// Ready once it has lived for `length`. Says little; better is what the process itself says.
    [[nodiscard]] static Probe delay(Nanoseconds length);
    /// `host`: a numeric address, or "localhost".
    [[nodiscard]] static Probe tcp(std::uint16_t port, std::string host = "127.0.0.1");
    /// A path that begins with `@` is a name in the abstract namespace of Linux.
    [[nodiscard]] static Probe unix_socket(std::filesystem::path path);
    /// Relative to the working directory of the program.
    [[nodiscard]] static Probe file(std::filesystem::path path);
    /// Of stdout or stderr, if this program reads them: `Output::log` or `Output::capture`. What was written before
    /// the watch began counts as far as `ManagedProcess::tail` reaches back.
    [[nodiscard]] static Probe log_line(std::string text);
    /// Never says ready by itself, so during start-up it stands beside others in `all_of`. Wherever it stands, its line
    /// makes the whole fail at once.
    [[nodiscard]] static Probe fails_on_line(std::string text);
    /// Contained and bounded like any process; what runs longer than the timeout is stopped, with all that it started.
    [[nodiscard]] static Probe command(CommandLine command);
    /// Linux. As a probe for liveness, WATCHDOG=1 is expected within `interval` each time.
    [[nodiscard]] static Probe notify();
    /// `name` stands in messages.
    [[nodiscard]] static Probe custom(std::string name, Function function);
    /// A kind of its own; `name` stands in messages, `mistakes` is what is wrong with it.
    [[nodiscard]] static Probe check(std::string name, std::shared_ptr<const detail::ProbeCheck> check,
                                     std::vector<std::string> mistakes = {});
    [[nodiscard]] static Probe all_of(std::vector<Probe> probes);
    [[nodiscard]] static Probe any_of(std::vector<Probe> probes);

    Probe& after(Nanoseconds initial_delay) & { return set(timing_.initial_delay, initial_delay); }
    Probe& every(Nanoseconds interval) & { return set(timing_.interval, interval); }
    Probe& timeout(Nanoseconds of_attempt) & { return set(timing_.timeout, of_attempt); }
    Probe& within(Nanoseconds deadline) & {
        timing_.deadline = deadline;
        return *this;
    }
    Probe& thresholds(std::uint32_t success, std::uint32_t failure) & {
        timing_.success_threshold = success;
        return set(timing_.failure_threshold, failure);
    }
    Probe after(Nanoseconds initial_delay) && { return std::move(after(initial_delay)); }
    Probe every(Nanoseconds interval) && { return std::move(every(interval)); }
    Probe timeout(Nanoseconds of_attempt) && { return std::move(timeout(of_attempt)); }
    Probe within(Nanoseconds deadline) && { return std::move(within(deadline)); }
    Probe thresholds(std::uint32_t success, std::uint32_t failure) && {
        return std::move(thresholds(success, failure));
    }

    [[nodiscard]] ProbeKind kind() const noexcept { return kind_; }
    [[nodiscard]] const ProbeTiming& timing() const noexcept { return timing_; }
    /// All of it, as data.
    Probe& set_timing(const ProbeTiming& timing) { return set(timing_, timing); }

    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }                  ///< Of `tcp`.
    [[nodiscard]] const std::string& text() const noexcept { return text_; }             ///< Host, text or name.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }   ///< Of a file or socket.
    [[nodiscard]] Nanoseconds length() const noexcept { return length_; }                ///< Of `delay`.
    [[nodiscard]] const CommandLine& command_line() const noexcept { return command_; }  ///< Of `command`.
    [[nodiscard]] const Function& function() const noexcept { return function_; }        ///< Of `custom`.
    [[nodiscard]] const std::vector<Probe>& parts() const noexcept { return parts_; }    ///< Of `all_of`, `any_of`.
    [[nodiscard]] const std::shared_ptr<const detail::ProbeCheck>& other() const noexcept { return check_; }

    /// Whether it, or a part of it, needs the notification socket, which is made before the start.
    [[nodiscard]] bool needs_notify() const noexcept;

    /// Whether it can make a process ready: it is, or has in it, more than `fails_on_line`.
    [[nodiscard]] bool can_say_ready() const noexcept;

    /// For people: "tcp 127.0.0.1:8000", "all of (file '/run/ready', notify)".
    [[nodiscard]] std::string to_string() const;

    /// Everything that is wrong, in words, each with what to write; empty if nothing is.
    [[nodiscard]] std::vector<std::string> validate() const;

private:
    explicit Probe(ProbeKind kind) noexcept : kind_(kind) {}

    template <class T>
    Probe& set(T& member, const T& value) {
        member = value;
        return *this;
    }
    void add_mistakes(std::vector<std::string>& found, Nanoseconds of_whole) const;
    void add_timing_mistakes(std::vector<std::string>& found, Nanoseconds of_whole) const;
    void add_own_mistakes(std::vector<std::string>& found) const;

    ProbeKind kind_;
    std::uint16_t port_ = 0;
    ProbeTiming timing_;
    Nanoseconds length_{};
    std::string text_;
    std::filesystem::path path_;
    CommandLine command_;
    Function function_;
    std::shared_ptr<const detail::ProbeCheck> check_;
    std::vector<std::string> mistakes_;  // of a kind of its own
    std::vector<Probe> parts_;
};

// -- implementation ----------------------------------------------------------
namespace detail {

inline constexpr std::array<std::string_view, 12> probe_kind_names{
    "delay",   "tcp",    "unix_socket", "file",  "log_line", "fails_on_line",
    "command", "notify", "custom",      "check", "all_of",   "any_of"};
static_assert(probe_kind_names.size() == static_cast<std::size_t>(ProbeKind::any_of) + 1);

/// "1.5 s", "250 ms"
[[nodiscard]] inline std::string length_in_words(Nanoseconds length) {
    using namespace std::chrono;
    if (length % seconds(1) == Nanoseconds::zero()) return std::to_string(length / seconds(1)) + " s";
    if (length % milliseconds(1) == Nanoseconds::zero()) return std::to_string(length / milliseconds(1)) + " ms";
    return std::to_string(length.count()) + " ns";
}

[[nodiscard]] inline bool is_dotted_ipv4(std::string_view host) noexcept {
    std::size_t numbers = 0;
    while (!host.empty()) {
        const std::string_view number = host.substr(0, host.find('.'));
        if (number.empty() || number.size() > 3 || number.find_first_not_of("0123456789") != number.npos) return false;
        unsigned value = 0;
        for (const char digit : number) value = value * 10 + static_cast<unsigned>(digit - '0');
        if (value > 255 || ++numbers > 4) return false;
        if (number.size() == host.size()) return numbers == 4;
        host.remove_prefix(number.size() + 1);
    }
    return false;
}

/// Whether it can be an address without a name to look up: the system has the last word.
[[nodiscard]] inline bool reads_as_address(std::string_view host) noexcept {
    if (host == "localhost" || is_dotted_ipv4(host)) return true;
    return host.find(':') != host.npos && host.find_first_not_of("0123456789abcdefABCDEF:.") == host.npos;
}

}  // namespace detail

constexpr std::string_view to_string(ProbeKind kind) noexcept {
    return detail::probe_kind_names[static_cast<std::size_t>(kind)];
}

inline Probe Probe::delay(Nanoseconds length) {
    Probe probe(ProbeKind::delay);
    return probe.set(probe.length_, length);
}
inline Probe Probe::tcp(std::uint16_t port, std::string host) {
    Probe probe(ProbeKind::tcp);
    probe.text_ = std::move(host);
    return probe.set(probe.port_, port);
}
inline Probe Probe::unix_socket(std::filesystem::path path) {
    Probe probe(ProbeKind::unix_socket);
    probe.path_ = std::move(path);
    return probe;
}
inline Probe Probe::file(std::filesystem::path path) {
    Probe probe(ProbeKind::file);
    probe.path_ = std::move(path);
    return probe;
}
inline Probe Probe::log_line(std::string text) {
    Probe probe(ProbeKind::log_line);
    probe.text_ = std::move(text);
    return probe;
}
inline Probe Probe::fails_on_line(std::string text) {
    Probe probe(ProbeKind::fails_on_line);
    probe.text_ = std::move(text);
    return probe;
}
inline Probe Probe::command(CommandLine command) {
    Probe probe(ProbeKind::command);
    probe.command_ = std::move(command);
    return probe;
}
inline Probe Probe::notify() { return Probe(ProbeKind::notify); }
inline Probe Probe::custom(std::string name, Function function) {
    Probe probe(ProbeKind::custom);
    probe.text_ = std::move(name);
    probe.function_ = std::move(function);
    return probe;
}
inline Probe Probe::check(std::string name, std::shared_ptr<const detail::ProbeCheck> check,
                          std::vector<std::string> mistakes) {
    Probe probe(ProbeKind::check);
    probe.text_ = std::move(name);
    probe.check_ = std::move(check);
    probe.mistakes_ = std::move(mistakes);
    return probe;
}
inline Probe Probe::all_of(std::vector<Probe> probes) {
    Probe probe(ProbeKind::all_of);
    probe.parts_ = std::move(probes);
    return probe;
}
inline Probe Probe::any_of(std::vector<Probe> probes) {
    Probe probe(ProbeKind::any_of);
    probe.parts_ = std::move(probes);
    return probe;
}

inline bool Probe::needs_notify() const noexcept {
    return kind_ == ProbeKind::notify ||
           std::any_of(parts_.begin(), parts_.end(), [](const Probe& part) { return part.needs_notify(); });
}

inline bool Probe::can_say_ready() const noexcept {
    if (kind_ != ProbeKind::all_of && kind_ != ProbeKind::any_of) return kind_ != ProbeKind::fails_on_line;
    return std::any_of(parts_.begin(), parts_.end(), [](const Probe& part) { return part.can_say_ready(); });
}

inline std::string Probe::to_string() const {
    const auto quoted = [](std::string_view text) { return " '" + std::string(text) + '\''; };
    switch (kind_) {
        case ProbeKind::delay: return "delay " + detail::length_in_words(length_);
        case ProbeKind::tcp: {
            const bool is_v6 = text_.find(':') != std::string::npos;
            return "tcp " + (is_v6 ? '[' + text_ + ']' : text_) + ':' + std::to_string(port_);
        }
        case ProbeKind::unix_socket: return "unix socket" + quoted(path_.string());
        case ProbeKind::file: return "file" + quoted(path_.string());
        case ProbeKind::log_line: return "line with" + quoted(text_);
        case ProbeKind::fails_on_line: return "no line with" + quoted(text_);
        case ProbeKind::command: return "command " + command_.to_string();
        case ProbeKind::notify: return "notify";
        case ProbeKind::custom:
        case ProbeKind::check: return text_;
        case ProbeKind::all_of:
        case ProbeKind::any_of: break;
    }
    std::string text = kind_ == ProbeKind::all_of ? "all of (" : "any of (";
    for (const Probe& part : parts_) text += (&part == parts_.data() ? "" : ", ") + part.to_string();
    return text + ')';
}

}  // namespace warden

#include <warden/supervision/probe_validation.hpp>
