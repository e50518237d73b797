// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// An event as a line of JSON that can be stored, parsed and shown safely.
///
/// Knows:         field names, which follow OpenTelemetry's conventions for processes and logs where they have one, and
///                begin with `warden.` where they have none.
/// Does not know: files.
/// Thread-safety: pure functions.
/// Allocates:     the line; for a usual event nothing else.

#include <warden/detail/text/rfc3339.hpp>
#include <warden/detail/text/utf8.hpp>
#include <warden/detail/text/visible_text.hpp>
#include <warden/telemetry/event.hpp>

#include <boost/json/array.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace warden {

/// The text of all strings in one event is cut to these, and the cut is marked by `warden.truncated`.
inline constexpr std::size_t max_event_string_bytes = 4096;
inline constexpr std::size_t max_event_bytes = 65536;

/// One JSON object and a newline (RFC 8259). Whatever the strings hold, the line is valid UTF-8 without control and
/// format characters: these are escaped, and what is no UTF-8 becomes U+FFFD. `redact_arguments`: of the command, only
/// the program and the number of arguments. Numbers that are not finite become null.
[[nodiscard]] inline std::string to_json_line(const Event& event, bool redact_arguments);

// -- implementation ----------------------------------------------------------
namespace detail {

inline void append_escape(std::string& to, char32_t c) {
    if (c > 0xFFFF) {
        append_escape(to, 0xD7C0 + (c >> 10));
        c = 0xDC00 + (c & 0x3FFu);
    }
    to += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) to += "0123456789abcdef"[(c >> shift) & 15u];
}

/// Serialized JSON in which every string can be looked at safely. The bytes below 20 are escaped there already.
inline std::string made_safe(std::string json) {
    const auto plain_end = [](std::string_view text) {
        const auto end =
            std::find_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x7F; });
        return static_cast<std::size_t>(end - text.begin());
    };
    const std::size_t plain = plain_end(json);
    if (plain == json.size()) return json;
    std::string safe(json, 0, plain);
    safe.reserve(json.size() + 64);
    for (std::string_view rest = std::string_view(json).substr(plain); !rest.empty();) {
        const Utf8Sequence sequence = decode_utf8(rest);
        if (sequence.length == 0) append_escape(safe, 0xFFFD);
        else if (is_unseen(sequence.code_point)) append_escape(safe, sequence.code_point);
        else safe += rest.substr(0, sequence.length);
        rest.remove_prefix(std::max<std::size_t>(sequence.length, 1));
        const std::size_t run = plain_end(rest);
        safe += rest.substr(0, run);
        rest.remove_prefix(run);
    }
    return safe;
}

/// Cuts texts so that an event stays within its bounds.
class EventBudget {
public:
    /// As much of `text` as fits, not cut inside a character.
    std::string_view take(std::string_view text) noexcept {
        const std::size_t most = std::min(max_event_string_bytes, left_);
        if (text.size() > most) {
            std::size_t end = most;
            while (end > 0 && most - end < 3 && (static_cast<unsigned char>(text[end]) & 0xC0u) == 0x80u) --end;
            text = text.substr(0, end);
            was_cut_ = true;
        }
        left_ -= text.size();
        return text;
    }

    /// Whether one more member of a list fits.
    bool take_one_more() noexcept {
        constexpr std::size_t punctuation = 4;
        if (left_ < punctuation) return !(was_cut_ = true);
        left_ -= punctuation;
        return true;
    }

    [[nodiscard]] bool was_cut() const noexcept { return was_cut_; }

private:
    std::size_t left_ = max_event_bytes;
    bool was_cut_ = false;
};

inline bool is_hexadecimal(std::string_view text, std::size_t length) noexcept {
    return text.size() == length && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// Puts the fields of an event into a JSON object.
class EventWriter {
public:
    explicit EventWriter(boost::json::object& fields) : fields_(fields) { fields_.reserve(32); }

    void write(const Event& event, bool redact_arguments) {
        write_head(event);
        write_process(event);
        write_end(event);
        text("body", event.message);
        write_attributes(event.attributes);
        write_metadata(event.metadata);
        write_command(event.command, redact_arguments);  // last: it may use up the budget
        if (budget_.was_cut()) put("warden.truncated", true);
    }

private:
    void put(std::string_view key, auto value) { fields_.emplace(key, value); }
    void text(std::string_view key, std::string_view value) {
        if (!value.empty()) put(key, budget_.take(value));
    }
    void id(std::string_view key, const Uuid& value) {
        std::array<char, 36> digits{};
        boost::uuids::to_chars(value, digits.data(), digits.data() + digits.size());
        if (!value.is_nil()) put(key, std::string_view(digits.data(), digits.size()));
    }

    void write_head(const Event& event) {
        const auto stamp = rfc3339(event.time);
        const auto& severity = severity_rows[static_cast<std::size_t>(event.severity)];
        put("timestamp", std::string_view(stamp.data(), stamp.size()));
        put("severity_text", severity.text);
        put("severity_number", severity.number);
        put("event.name", event_name(event.kind));
        id("service.instance.id", event.instance);
        if (event.sequence != 0) put("warden.sequence", event.sequence);
    }

    void write_process(const Event& event) {
        id("warden.process.uuid", event.uuid);
        text("warden.process.name", event.name);
        text("warden.process.type", event.type);
        if (event.pid != 0) put("process.pid", event.pid);
        if (event.parent_pid != 0) put("process.parent_pid", event.parent_pid);
    }

    void write_end(const Event& event) {
        if (event.exit_status && event.exit_status->exited()) put("process.exit.code", event.exit_status->code());
        if (event.exit_status && event.exit_status->signaled()) {
            put("warden.exit.signal", event.exit_status->signal());
            put("warden.exit.core_dumped", event.exit_status->core_dumped());
        }
        if (event.exit_status && !event.exit_status->known()) put("warden.exit.known", false);
        if (event.cause) put("warden.exit.cause", to_string(*event.cause));
        if (event.duration) put("warden.duration_ns", event.duration->count());
        if (event.from) put("warden.state.from", to_string(*event.from));
        if (event.to) put("warden.state.to", to_string(*event.to));
    }

    void write_attributes(const std::vector<std::pair<std::string, AttributeValue>>& attributes) {
        if (attributes.empty()) return;
        boost::json::object pairs(fields_.storage());
        for (const auto& [key, value] : attributes) {
            if (!budget_.take_one_more()) break;
            boost::json::value& to = pairs[budget_.take(key)];
            std::visit([&](const auto& v) { assign(to, v); }, value);
        }
        fields_.emplace("warden.attributes", std::move(pairs));
    }

    void write_metadata(const std::map<std::string, std::string>& metadata) {
        if (metadata.empty()) return;
        boost::json::object pairs(fields_.storage());
        for (const auto& [key, value] : metadata) {
            if ((key == "trace_id" && is_hexadecimal(value, 32)) || (key == "span_id" && is_hexadecimal(value, 16))) {
                put(key, std::string_view(value));
            } else if (budget_.take_one_more()) {
                pairs[budget_.take(key)] = budget_.take(value);
            }
        }
        if (!pairs.empty()) fields_.emplace("warden.metadata", std::move(pairs));
    }

    void write_command(const CommandLine& command, bool redact_arguments) {
        if (command.program().empty()) return;
        const std::string_view program = command.program();
        text("process.executable.name", program.substr(program.rfind('/') + 1));
        text("process.command", program);
        put("process.args_count", command.arguments().size() + 1);
        if (redact_arguments) return;
        boost::json::array words(fields_.storage());
        words.emplace_back(budget_.take(program));
        for (const auto& argument : command.arguments()) {
            if (!budget_.take_one_more()) break;
            words.emplace_back(budget_.take(argument));
        }
        fields_.emplace("process.command_args", std::move(words));
    }

    void assign(boost::json::value& to, const std::string& value) { to = budget_.take(value); }
    void assign(boost::json::value& to, double value) {
        if (std::isfinite(value)) to = value;
        else to = nullptr;
    }
    void assign(boost::json::value& to, std::int64_t value) { to = value; }
    void assign(boost::json::value& to, bool value) { to = value; }

    boost::json::object& fields_;
    EventBudget budget_;
};

}  // namespace detail

inline std::string to_json_line(const Event& event, bool redact_arguments) {
    // Enough for a usual event; the heap serves what is larger.
    alignas(std::max_align_t) std::array<unsigned char, 8192> first_bytes;
    boost::json::monotonic_resource memory(first_bytes.data(), first_bytes.size());
    boost::json::object fields(&memory);
    detail::EventWriter(fields).write(event, redact_arguments);
    return detail::made_safe(boost::json::serialize(fields) + '\n');
}

}  // namespace warden
