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

#include <warden/platform.hpp>
#include <warden/telemetry/event.hpp>

#include <cstddef>
#include <string>

namespace warden {

/// The text of all strings in one event is cut to these, and the cut is marked by `warden.truncated`.
inline constexpr std::size_t max_event_string_bytes = 4096;
inline constexpr std::size_t max_event_bytes = 65536;

/// What is left out of what is written of an event. By default the values that look like secrets, in arguments,
/// metadata and texts: "[redacted]" stands for each. Which shapes these are stands in detail/text/secrets.hpp and in
/// the README.
struct Redaction {
    /// Implicit: `true` leaves out all arguments.
    Redaction(bool all_arguments = false, bool secret_values = true) noexcept
        : arguments(all_arguments), secrets(secret_values) {}

    bool arguments;  ///< Of a command only the program and the number of arguments are written.
    bool secrets;    ///< Values that look like secrets.
};

/// One JSON object and a newline (RFC 8259). Whatever the strings hold, the line is valid UTF-8 without control and
/// format characters: these are escaped, and what is no UTF-8 becomes U+FFFD. Numbers that are not finite become null.
[[nodiscard]] WARDEN_INLINE std::string to_json_line(const Event& event, Redaction redaction);

}  // namespace warden

// -- implementation ----------------------------------------------------------
#if WARDEN_HAS_BODIES
#include <warden/detail/text/json_writer.hpp>
#include <warden/detail/text/rfc3339.hpp>
#include <warden/detail/text/secrets.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace warden {

namespace detail {

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

/// Writes the fields of an event into a JSON object.
class EventWriter {
public:
    EventWriter(std::string& to, Redaction redaction) noexcept : redaction_(redaction), json_(to) {}

    void write(const Event& event) {
        json_.begin_object();
        write_head(event);
        write_process(event);
        write_end(event);
        text("body", event.message);
        write_attributes(event.attributes);
        write_metadata(event.metadata);
        write_command(event.command);  // last: it may use up the budget
        if (budget_.was_cut()) json_.name("warden.truncated").boolean(true);
        json_.end_object();
    }

private:
    void put(std::string_view name, std::string_view value) { json_.name(name).string(value); }
    void put(std::string_view name, std::int64_t value) { json_.name(name).integer(value); }
    void text(std::string_view name, std::string_view value) {
        if (!value.empty()) put(name, budget_.take(clean(value)));
    }
    /// Without secrets; valid until the next call.
    [[nodiscard]] std::string_view clean(std::string_view value) {
        const bool may_have_some = redaction_.secrets && value.find_first_of("=: ") != std::string_view::npos;
        return may_have_some ? cleaned_ = without_secrets(value) : value;
    }
    void id(std::string_view name, const Uuid& value) {
        std::array<char, 36> digits{};
        boost::uuids::to_chars(value, digits.data(), digits.data() + digits.size());
        if (!value.is_nil()) put(name, std::string_view(digits.data(), digits.size()));
    }

    void write_head(const Event& event) {
        const auto stamp = rfc3339(event.time);
        const auto& severity = severity_rows[static_cast<std::size_t>(event.severity)];
        put("timestamp", std::string_view(stamp.data(), stamp.size()));
        put("severity_text", severity.text);
        put("severity_number", severity.number);
        put("event.name", event_name(event.kind));
        id("service.instance.id", event.instance);
        if (event.sequence != 0) json_.name("warden.sequence").unsigned_integer(event.sequence);
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
            json_.name("warden.exit.core_dumped").boolean(event.exit_status->core_dumped());
        }
        if (event.exit_status && !event.exit_status->known()) json_.name("warden.exit.known").boolean(false);
        if (event.cause) put("warden.exit.cause", to_string(*event.cause));
        if (event.duration) put("warden.duration_ns", event.duration->count());
        if (event.from) put("warden.state.from", to_string(*event.from));
        if (event.to) put("warden.state.to", to_string(*event.to));
    }

    /// Of attributes with the same name the last one is written.
    void write_attributes(const std::vector<std::pair<std::string, AttributeValue>>& attributes) {
        if (attributes.empty()) return;
        json_.name("warden.attributes").begin_object();
        for (auto at = attributes.begin(); at != attributes.end(); ++at) {
            const auto same = [at](const auto& other) { return other.first == at->first; };
            if (std::any_of(at + 1, attributes.end(), same)) continue;
            if (!budget_.take_one_more()) break;
            json_.name(budget_.take(at->first));
            write_value(at->second);
        }
        json_.end_object();
    }

    void write_metadata(const std::map<std::string, std::string>& metadata) {
        bool any = false;
        for (const auto& [key, value] : metadata) {
            if (is_trace_context(key, value)) put(key, value);
            else any = true;
        }
        if (!any) return;
        json_.name("warden.metadata").begin_object();
        for (const auto& [key, value] : metadata) {
            if (is_trace_context(key, value) || !budget_.take_one_more()) continue;
            const bool is_secret = redaction_.secrets && is_secret_name(key);
            json_.name(budget_.take(key)).string(budget_.take(is_secret ? redacted : clean(value)));
        }
        json_.end_object();
    }

    void write_command(const CommandLine& command) {
        if (command.program().empty()) return;
        const std::string_view program = command.program();
        text("process.executable.name", program.substr(program.rfind('/') + 1));
        text("process.command", program);
        json_.name("process.args_count").unsigned_integer(command.arguments().size() + 1);
        if (redaction_.arguments) return;
        const auto without = redaction_.secrets ? without_secrets(command.arguments()) : std::vector<std::string>();
        json_.name("process.command_args").begin_array();
        json_.string(budget_.take(program));
        for (const auto& argument : redaction_.secrets ? without : command.arguments()) {
            if (!budget_.take_one_more()) break;
            json_.string(budget_.take(argument));
        }
        json_.end_array();
    }

    void write_value(const AttributeValue& value) {
        if (const auto* words = std::get_if<std::string>(&value)) json_.string(budget_.take(clean(*words)));
        else if (const auto* real = std::get_if<double>(&value)) json_.real(*real);
        else if (const auto* integer = std::get_if<std::int64_t>(&value)) json_.integer(*integer);
        else json_.boolean(std::get<bool>(value));
    }

    [[nodiscard]] static bool is_trace_context(std::string_view key, std::string_view value) noexcept {
        return (key == "trace_id" && is_hexadecimal(value, 32)) || (key == "span_id" && is_hexadecimal(value, 16));
    }

    const Redaction redaction_;
    JsonWriter json_;
    EventBudget budget_;
    std::string cleaned_;
};

}  // namespace detail

WARDEN_INLINE std::string to_json_line(const Event& event, Redaction redaction) {
    std::string line;
    line.reserve(1024);
    detail::EventWriter(line, redaction).write(event);
    line += '\n';
    return line;
}

}  // namespace warden
#endif
