// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The record of a detached process as one JSON object. `record_parser.hpp` reads it.
///
/// Knows:         the names of the members. Text that is no UTF-8 is an array of its bytes, as in logs of JSON lines.
/// Does not know: files.
/// Thread-safety: pure functions.
/// Allocates:     the text.

#include <warden/detached/record.hpp>
#include <warden/detail/text/json_writer.hpp>
#include <warden/detail/text/rfc3339.hpp>
#include <warden/detail/text/utf8.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace warden::detail {

/// One object and a newline. Steps of the kind `call` are left out of the plan. Keys of metadata that are no UTF-8 are
/// not kept byte for byte.
[[nodiscard]] inline std::string to_json(const DetachedRecord& record);

/// As it stands in records and in the names of their files: 36 characters, in lower case.
[[nodiscard]] inline std::string uuid_text(const Uuid& uuid);

// -- implementation ----------------------------------------------------------

inline std::string uuid_text(const Uuid& uuid) {
    std::array<char, 36> digits{};
    boost::uuids::to_chars(uuid, digits.data(), digits.data() + digits.size());
    return {digits.data(), digits.size()};
}

/// Writes the members of a record.
class RecordWriter {
public:
    explicit RecordWriter(std::string& to) noexcept : json_(to) {}

    void write(const DetachedRecord& record) {
        json_.begin_object();
        json_.name("version").integer(record.version);
        json_.name("uuid").string(uuid_text(record.uuid));
        text("type", record.type);
        text("name", record.name);
        json_.name("state").string(to_string(record.state));
        command("command", record.command);
        if (!record.metadata.empty()) write_metadata(record);
        path("working_directory", record.working_directory);
        identity("starter", record.starter);
        identity("shim", record.shim);
        identity("process", record.process);
        identity("guardian", record.guardian);
        time("started_at", record.started_at);
        path("log", record.log_path);
        path("error_log", record.error_log_path);
        json_.name("mechanism").string(to_string(record.mechanism));
        if (!record.control_group.empty()) text("control_group", record.control_group);
        if (!record.timeout.is_never()) json_.name("timeout_ns").integer(record.timeout.length().count());
        write_plan(record.stop_plan);
        write_limits(record.limits);
        write_log(record);
        if (record.survive_shim) json_.name("survive_shim").boolean(true);
        if (record.restarted_from) json_.name("restarted_from").string(uuid_text(*record.restarted_from));
        if (record.exit) write_exit(*record.exit);
        json_.end_object();
    }

private:
    void value(std::string_view text) {
        if (is_utf8(text)) return json_.string(text);
        json_.begin_array();
        for (const char byte : text) json_.unsigned_integer(static_cast<unsigned char>(byte));
        json_.end_array();
    }
    void text(std::string_view name, std::string_view text) {
        json_.name(name);
        value(text);
    }
    void path(std::string_view name, const std::filesystem::path& path) {
        if (!path.empty()) text(name, to_word(path));
    }
    void time(std::string_view name, std::chrono::system_clock::time_point time) {
        const auto stamp = rfc3339(time);
        json_.name(name).string({stamp.data(), stamp.size()});
    }
    void number(std::string_view name, std::uint64_t number) { json_.name(name).unsigned_integer(number); }
    void known(std::string_view name, const std::optional<std::uint64_t>& number) {
        if (number) json_.name(name).unsigned_integer(*number);
    }

    void command(std::string_view name, const CommandLine& command) {
        json_.name(name).begin_array();
        value(command.program());
        for (const auto& argument : command.arguments()) value(argument);
        json_.end_array();
    }

    void write_metadata(const DetachedRecord& record) {
        json_.name("metadata").begin_object();
        for (const auto& [key, content] : record.metadata) text(key, content);
        json_.end_object();
    }

    void identity(std::string_view name, const ProcessIdentity& identity) {
        if (identity == ProcessIdentity{}) return;
        json_.name(name).begin_object();
        json_.name("pid").integer(identity.pid);
        number("start_ticks", identity.start_ticks);
        number("pidfs_inode", identity.pidfs_inode);
        number("namespaces", identity.namespaces);
        json_.name("boot_id").string(identity.boot_id);
        json_.end_object();
    }

    void write_plan(const StopPlan& plan) {
        json_.name("stop_plan").begin_array();
        for (const StopStep& step : plan.steps()) {
            if (step.action == StopAction::call) continue;
            json_.begin_object();
            json_.name("action").string(to_string(step.action));
            json_.name("grace_ns").integer(step.grace.count());
            if (step.signal_number != 0) json_.name("signal").integer(step.signal_number);
            if (!step.text.empty()) text("text", step.text);
            if (step.command != CommandLine{}) command("command", step.command);
            json_.end_object();
        }
        json_.end_array();
        if (!plan.reason().empty()) text("stop_reason", plan.reason());
    }

    void write_limits(const ResourceLimits& limits) {
        if (limits == ResourceLimits{}) return;
        json_.name("limits").begin_object();
        known("memory_bytes", limits.memory_bytes);
        if (limits.cpu_time) json_.name("cpu_time_ns").integer(limits.cpu_time->count());
        if (limits.cpu_share) json_.name("cpu_share").real(*limits.cpu_share);
        known("processes", limits.processes);
        known("open_files", limits.open_files);
        known("file_bytes", limits.file_bytes);
        known("core_bytes", limits.core_bytes);
        json_.end_object();
    }

    void write_log(const DetachedRecord& record) {
        json_.name("log_options").begin_object();
        number("max_lines", record.log_limits.max_lines);
        number("max_chars", record.log_limits.max_chars);
        if (record.on_limit.rotates()) number("kept_files", record.on_limit.kept_files());
        json_.name("format").string(to_string(record.log_format));
        json_.end_object();
    }

    void write_exit(const DetachedExit& exit) {
        json_.name("exit").begin_object();
        if (exit.status.exited()) json_.name("code").integer(exit.status.code());
        if (exit.status.signaled()) {
            json_.name("signal").integer(exit.status.signal());
            json_.name("core_dumped").boolean(exit.status.core_dumped());
        }
        json_.name("cause").string(to_string(exit.cause));
        time("at", exit.at);
        json_.name("user_ns").integer(exit.usage.user_time.count());
        json_.name("system_ns").integer(exit.usage.system_time.count());
        number("max_resident_bytes", exit.usage.max_resident_bytes);
        number("major_faults", exit.usage.major_faults);
        if (!exit.reason.empty()) text("reason", exit.reason);
        if (!exit.hook_problem.empty()) text("hook_problem", exit.hook_problem);
        json_.end_object();
    }

    JsonWriter json_;
};

inline std::string to_json(const DetachedRecord& record) {
    std::string text;
    text.reserve(2048);
    RecordWriter(text).write(record);
    text += '\n';
    return text;
}

}  // namespace warden::detail
