// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Reads the record of a detached process. Not part of <warden/warden.hpp>: it brings the parser of Boost.JSON.
///
/// Knows:         what `record_json.hpp` writes, and the bounds of every value; others may have written the text.
/// Does not know: files, whether the process lives.
/// Thread-safety: a pure function.
/// Errors:        the first mistake, in words. Members that are not known are passed over.
/// Allocates:     the record, and what Boost.JSON takes for text of at most `max_record_bytes`, whose depth is bounded.

#include <warden/detached/record.hpp>
#include <warden/detail/text/rfc3339.hpp>
#include <warden/output/log_line.hpp>

#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parse.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// A longer text is no record.
inline constexpr std::size_t max_record_bytes = std::size_t{1} << 20;

/// No system that has a registry gives a higher number to a process.
inline constexpr Pid max_pid = 1 << 22;

struct ParsedRecord {
    DetachedRecord record{};  ///< As far as it could be read.
    std::string mistake{};    ///< What is wrong with it; empty if nothing is.
    bool is_newer = false;    ///< A newer version has written it, so it may mean more than was understood.
};

[[nodiscard]] inline ParsedRecord parse_record(std::string_view text);

/// The uuid that `uuid_text` has written so; nothing for any other text, and for the one that is all zeros.
[[nodiscard]] inline std::optional<Uuid> parse_uuid(std::string_view text) noexcept;

// -- implementation ----------------------------------------------------------

inline std::optional<Uuid> parse_uuid(std::string_view text) noexcept {
    constexpr std::string_view shape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    constexpr std::string_view digits = "0123456789abcdef";
    if (text.size() != shape.size()) return std::nullopt;
    Uuid uuid{};
    std::size_t nibbles = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (shape[i] == '-' && text[i] == '-') continue;
        const std::size_t value = digits.find(text[i]);
        if (shape[i] == '-' || value == digits.npos) return std::nullopt;
        std::uint8_t& byte = uuid.begin()[nibbles / 2];
        byte = static_cast<std::uint8_t>(byte << 4 | value);
        ++nibbles;
    }
    return uuid.is_nil() ? std::nullopt : std::optional(uuid);
}

/// Takes a JSON object apart. After a mistake it goes on, so that a list can show what there is.
class RecordReader {
public:
    explicit RecordReader(ParsedRecord& to) noexcept : to_(to) {}

    void read(const boost::json::object& object) {
        DetachedRecord& record = to_.record;
        record.version = read_version(object);
        to_.is_newer = record.version > detached_record_version;
        record.uuid = uuid(object, "uuid").value_or(Uuid{});
        if (record.uuid.is_nil()) fail("has no uuid");
        record.type = text(object, "type");
        record.name = text(object, "name");
        record.state = one_of(object, "state", 4, detached_state_names, DetachedState::running);
        record.command = command(object, "command");
        if (record.command.validate()) fail("has no command");
        read_metadata(object);
        record.working_directory = path(object, "working_directory");
        record.starter = identity(object, "starter", 1);
        record.shim = identity(object, "shim", 2);
        record.process = identity(object, "process", 2);
        record.guardian = identity(object, "guardian", 2);
        record.started_at = time(object, "started_at");
        record.log_path = path(object, "log");
        record.error_log_path = path(object, "error_log");
        read_placement(object);
        if (const auto length = number(object, "timeout_ns", 1, longest)) record.timeout = Nanoseconds(*length);
        read_plan(object);
        read_limits(object);
        read_log(object);
        const auto* survive = object.if_contains("survive_shim");
        record.survive_shim = survive && *survive == true;
        if (object.if_contains("restarted_from")) record.restarted_from = uuid(object, "restarted_from");
        read_exit(object);
        check_whole(record);
    }

private:
    using Object = boost::json::object;
    using Value = boost::json::value;
    static constexpr std::int64_t longest = std::numeric_limits<std::int64_t>::max();

    void fail(std::string mistake) {
        if (to_.mistake.empty()) to_.mistake = std::move(mistake);
    }
    void fail(std::string_view name, const char* what) { fail("'" + std::string(name) + "' " + what); }

    int read_version(const Object& object) {
        const auto version = number(object, "version", 1, std::numeric_limits<int>::max());
        if (!version) fail("has no version");
        return static_cast<int>(version.value_or(0));
    }

    std::optional<std::int64_t> number(const Object& object, std::string_view name, std::int64_t lowest,
                                       std::int64_t highest) {
        const Value* found = object.if_contains(name);
        if (!found) return std::nullopt;
        const std::int64_t* value = found->if_int64();
        if (value && *value >= lowest && *value <= highest) return *value;
        fail(name, "is out of its range");
        return std::nullopt;
    }

    std::optional<std::uint64_t> natural(const Object& object, std::string_view name) {
        const Value* found = object.if_contains(name);
        if (!found) return std::nullopt;
        if (const std::uint64_t* value = found->if_uint64()) return *value;
        const std::int64_t* value = found->if_int64();
        if (value && *value >= 0) return static_cast<std::uint64_t>(*value);
        fail(name, "is out of its range");
        return std::nullopt;
    }

    std::string word(const Value& value, std::string_view name) {
        auto found = json_text(value);
        if (!found) fail(name, "is no text");
        else if (has_nul(*found)) fail(name, "holds a NUL byte");
        return found.value_or(std::string());
    }
    std::string text(const Object& object, std::string_view name) {
        const Value* found = object.if_contains(name);
        return found ? word(*found, name) : std::string();
    }
    /// A path that may be handed to the system: absolute, or empty.
    std::filesystem::path path(const Object& object, std::string_view name) {
        const std::string found = text(object, name);
        std::filesystem::path result(std::u8string(found.begin(), found.end()));
        if (result.empty() || result.is_absolute()) return result;
        fail(name, "is no absolute path");
        return {};
    }

    std::optional<Uuid> uuid(const Object& object, std::string_view name) {
        const auto found = parse_uuid(text(object, name));
        if (!found) fail(name, "is no uuid");
        return found;
    }

    /// The place of a word among the first `count` names.
    template <class Enum, std::size_t size>
    Enum one_of(const Object& object, std::string_view name, std::size_t count,
                const std::array<std::string_view, size>& names, Enum otherwise) {
        const std::string found = text(object, name);
        for (std::size_t i = 0; i < count; ++i) {
            if (names[i] == found) return static_cast<Enum>(i);
        }
        fail(name, "is none of the words that it may be");
        return otherwise;
    }

    std::chrono::system_clock::time_point time(const Object& object, std::string_view name) {
        const auto found = parse_rfc3339(text(object, name));
        if (!found) fail(name, "is no time");
        return found.value_or(std::chrono::system_clock::time_point{});
    }

    CommandLine command(const Object& object, std::string_view name) {
        const Value* found = object.if_contains(name);
        const auto* array = found ? found->if_array() : nullptr;
        if (!array) return {};
        std::vector<std::string> words;
        words.reserve(array->size());
        for (const Value& value : *array) words.push_back(word(value, name));
        return CommandLine(std::move(words));
    }

    void read_metadata(const Object& object) {
        const Value* found = object.if_contains("metadata");
        if (!found) return;
        const auto* members = found->if_object();
        if (!members) return fail("metadata", "is no object");
        for (const auto& member : *members)
            to_.record.metadata.emplace(std::string(member.key()), word(member.value(), "metadata"));
    }

    ProcessIdentity identity(const Object& object, std::string_view name, Pid lowest) {
        ProcessIdentity result;
        const Value* found = object.if_contains(name);
        if (!found) return result;
        const auto* members = found->if_object();
        if (!members) return fail(name, "is no object"), result;
        const auto pid = number(*members, "pid", lowest, max_pid);
        if (!pid) return fail(name, "has no pid that a process may have"), result;
        result.pid = static_cast<Pid>(*pid);
        result.start_ticks = natural(*members, "start_ticks").value_or(0);
        result.pidfs_inode = natural(*members, "pidfs_inode").value_or(0);
        result.namespaces = natural(*members, "namespaces").value_or(0);
        result.boot_id = text(*members, "boot_id");
        return result;
    }

    void read_placement(const Object& object) {
        for (int i = 0; i <= static_cast<int>(Mechanism::job_object); ++i) {
            const auto mechanism = static_cast<Mechanism>(i);
            if (text(object, "mechanism") == to_string(mechanism)) to_.record.mechanism = mechanism;
        }
        const std::string group = text(object, "control_group");
        const std::filesystem::path path(group);
        for (const auto& part : path) {
            if (part == "..") return fail("control_group", "leads upwards");
        }
        if (!group.empty() && !group.starts_with('/')) return fail("control_group", "is no absolute path");
        to_.record.control_group = group;
    }

    void read_plan(const Object& object) {
        const Value* found = object.if_contains("stop_plan");
        if (!found) return;
        const auto* steps = found->if_array();
        if (!steps) return fail("stop_plan", "is no list");
        StopPlan plan;
        for (const Value& value : *steps) {
            const auto* members = value.if_object();
            if (!members) return fail("stop_plan", "has a step that is no object");
            StopStep step;
            step.action = one_of(*members, "action", stop_action_names.size(), stop_action_names, StopAction::kill);
            step.grace = Nanoseconds(number(*members, "grace_ns", 0, longest).value_or(0));
            step.signal_number = static_cast<int>(number(*members, "signal", 1, 64).value_or(0));
            step.text = text(*members, "text");
            step.command = command(*members, "command");
            plan.add(std::move(step));
        }
        plan.because(text(object, "stop_reason"));
        if (!plan.validate().empty()) return fail("stop_plan", "is not valid");
        to_.record.stop_plan = std::move(plan);
    }

    void read_limits(const Object& object) {
        const Value* found = object.if_contains("limits");
        if (!found) return;
        const auto* members = found->if_object();
        if (!members) return fail("limits", "is no object");
        ResourceLimits limits;
        limits.memory_bytes = natural(*members, "memory_bytes");
        if (const auto length = number(*members, "cpu_time_ns", 1, longest)) limits.cpu_time = Nanoseconds(*length);
        if (const Value* share = members->if_contains("cpu_share"); share && share->is_number())
            limits.cpu_share = share->to_number<double>();
        limits.processes = natural(*members, "processes");
        limits.open_files = natural(*members, "open_files");
        limits.file_bytes = natural(*members, "file_bytes");
        limits.core_bytes = natural(*members, "core_bytes");
        if (!limits.validate().empty()) return fail("limits", "are not valid");
        to_.record.limits = limits;
    }

    void read_log(const Object& object) {
        const Value* found = object.if_contains("log_options");
        if (!found) return;
        const auto* members = found->if_object();
        if (!members) return fail("log_options", "is no object");
        const LogLimits limits{
            static_cast<std::size_t>(natural(*members, "max_lines").value_or(LogLimits{}.max_lines)),
            static_cast<std::size_t>(natural(*members, "max_chars").value_or(LogLimits{}.max_chars))};
        const auto kept_files = natural(*members, "kept_files");
        const OnLimit on_limit = kept_files ? OnLimit::rotate(static_cast<std::size_t>(*kept_files)) : OnLimit();
        if (!limits.validate().empty() || !on_limit.validate(limits).empty())
            return fail("log_options", "are not valid");
        to_.record.log_limits = limits;
        to_.record.on_limit = on_limit;
        to_.record.log_format = one_of(*members, "format", log_format_names.size(), log_format_names, LogFormat::raw);
    }

    void read_exit(const Object& object) {
        const Value* found = object.if_contains("exit");
        if (!found) return;
        const auto* members = found->if_object();
        if (!members) return fail("exit", "is no object");
        DetachedExit exit;
        constexpr std::int64_t highest_code = 0xFFFFFFFF;
        if (const auto code = number(*members, "code", -1 - highest_code / 2, highest_code))
            exit.status = ExitStatus::from_code(*code);
        const auto* core = members->if_contains("core_dumped");
        if (const auto signal = number(*members, "signal", 1, 64))
            exit.status = ExitStatus::from_signal(static_cast<int>(*signal), core && *core == true);
        exit.cause = one_of(*members, "cause", exit_cause_names.size(), exit_cause_names, ExitCause::unknown);
        exit.at = time(*members, "at");
        exit.usage.user_time = Nanoseconds(number(*members, "user_ns", 0, longest).value_or(0));
        exit.usage.system_time = Nanoseconds(number(*members, "system_ns", 0, longest).value_or(0));
        exit.usage.max_resident_bytes = natural(*members, "max_resident_bytes").value_or(0);
        exit.usage.major_faults = natural(*members, "major_faults").value_or(0);
        exit.reason = text(*members, "reason");
        exit.hook_problem = text(*members, "hook_problem");
        to_.record.exit = std::move(exit);
    }

    /// What no member alone can be blamed for.
    void check_whole(const DetachedRecord& record) {
        if (record.exit.has_value() != (record.state == DetachedState::exited))
            fail("its state and its exit contradict each other");
        const bool runs = record.state == DetachedState::running || record.state == DetachedState::stopping;
        if (runs && (record.shim.pid == 0 || record.process.pid == 0)) fail("it runs, and says not as which process");
        if (record.state == DetachedState::starting && record.shim.pid == 0 && record.starter.pid == 0)
            fail("it starts, and says not who starts it");
    }

    ParsedRecord& to_;
};

inline ParsedRecord parse_record(std::string_view text) {
    ParsedRecord result;
    if (text.size() > max_record_bytes) {
        result.mistake = "has more than " + std::to_string(max_record_bytes) + " bytes";
        return result;
    }
    boost::json::monotonic_resource memory;
    boost::json::parse_options options;
    options.max_depth = 8;
    boost::json::error_code ec;
    const auto value = boost::json::parse(text, ec, &memory, options);
    const auto* object = ec ? nullptr : value.if_object();
    if (object) RecordReader(result).read(*object);
    else result.mistake = ec ? "is no JSON (" + ec.message() + ")" : "is no JSON object";
    return result;
}

}  // namespace warden::detail
