// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The log of events: JSON, one event a line, in a bounded file.
///
/// Knows:         its file, and the logs of earlier managers beside it.
/// Does not know: who else wants the events; what is worth one.
/// Thread-safety: one thread at a time.
/// Errors:        of `open` by code; afterwards none: what cannot be written is counted.
/// Allocates:     one line per event; see also `LogSink`.

#include <warden/detail/logs/log_owner.hpp>
#include <warden/error.hpp>
#include <warden/logs/log_sink.hpp>
#include <warden/manager_config.hpp>
#include <warden/telemetry/event_json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// Writes events to `EventLogOptions::path`, each at once and whole.
class EventLog {
public:
    /// So many logs stay in a directory, this one included.
    static constexpr std::size_t kept_logs = 32;

    /// Writes nothing.
    EventLog() = default;

    /// Opens or continues the file; its directories are made. If it is named after an instance id, as it is by default,
    /// the oldest logs named so in its directory go, with what rotation made of them; other files are never touched. An
    /// options value that is not `enabled` opens nothing, which is no error. `errc::invalid_options`: no path, or
    /// limits that make no sense. Else the error is that of `LogSink::open`.
    [[nodiscard]] static EventLog open(const EventLogOptions& options, Redaction redaction, error_code& ec);

    void write(const Event& event) noexcept;

    /// Events for whose line there was no memory.
    [[nodiscard]] std::uint64_t lost_events() const noexcept { return lost_events_; }

    /// Of the file; all zero if there is none.
    [[nodiscard]] LogSinkStats stats() const { return sink_ ? sink_->stats() : LogSinkStats{}; }

    /// Empty if there is none.
    [[nodiscard]] std::filesystem::path path() const { return sink_ ? sink_->path() : std::filesystem::path(); }

private:
    std::optional<LogSink> sink_;
    Redaction redaction_;
    std::uint64_t lost_events_ = 0;
};

// -- implementation ----------------------------------------------------------
namespace detail {

/// The instance id that a file is named after which belongs to an event log: `<id>.jsonl`, `<id>.jsonl.7`, or
/// `.<id>.jsonl.tmp`, which a crash can leave. Empty for any other name: data sets are called *.jsonl too.
inline std::string_view event_log_id(std::string_view name) noexcept {
    constexpr std::string_view extension = ".jsonl";
    const bool temporary = name.starts_with('.');
    if (temporary) name.remove_prefix(1);
    const std::string_view id = name.substr(0, uuid_chars);
    if (id.size() != uuid_chars || !begins_uuid(id)) return {};
    std::string_view rest = name.substr(id.size());
    if (!rest.starts_with(extension)) return {};
    rest.remove_prefix(extension.size());
    if (temporary) return rest == ".tmp" ? id : std::string_view{};
    if (rest.empty()) return id;
    const bool rotated = rest.size() > 1 && rest[0] == '.' && rest.find_first_not_of("0123456789", 1) == rest.npos;
    return rotated ? id : std::string_view{};
}

/// The name of a file, or nothing if it is not plain ASCII and so not that of an event log.
inline std::string plain_name(const std::filesystem::path& path) {
    const std::filesystem::path file = path.filename();
    std::string name;
    for (const auto c : file.native()) {
        if (c <= 0 || c > 0x7e) return {};
        name += static_cast<char>(c);
    }
    return name;
}

/// A log with what rotation made of it.
struct EventLogSet {
    std::filesystem::file_time_type newest = std::filesystem::file_time_type::min();
    std::vector<std::filesystem::path> files;
};

/// Removes all but the newest `kept` event logs beside `own`, which stays in any case. Only regular files, no links.
inline void prune_event_logs(const std::filesystem::path& own, std::size_t kept) {
    namespace fs = std::filesystem;
    const std::string own_name = plain_name(own);
    const std::string_view own_id = event_log_id(own_name);
    if (own_id.empty()) return;
    std::map<std::string, EventLogSet> sets;
    std::error_code failed;
    fs::directory_iterator entry(own.has_parent_path() ? own.parent_path() : fs::path("."), failed);
    for (; !failed && entry != fs::directory_iterator(); entry.increment(failed)) {
        const std::string name = plain_name(entry->path());
        const std::string_view id = event_log_id(name);
        std::error_code gone;
        if (id.empty() || id == own_id || entry->symlink_status(gone).type() != fs::file_type::regular) continue;
        const auto time = entry->last_write_time(gone);
        if (gone) continue;
        EventLogSet& set = sets[std::string(id)];
        set.newest = std::max(set.newest, time);
        set.files.push_back(entry->path());
    }
    std::vector<EventLogSet> others;
    others.reserve(sets.size());
    for (auto& [id, set] : sets) others.push_back(std::move(set));
    std::sort(others.begin(), others.end(), [](const auto& a, const auto& b) { return a.newest > b.newest; });
    for (std::size_t i = kept - 1; i < others.size(); ++i) {
        for (const auto& file : others[i].files) fs::remove(file, failed);
    }
}

}  // namespace detail

inline EventLog EventLog::open(const EventLogOptions& options, Redaction redaction, error_code& ec) {
    EventLog log;
    ec.clear();
    if (!options.enabled) return log;
    if (options.path.empty()) {
        ec = errc::invalid_options;
        return log;
    }
    LogSink sink = LogSink::open(options.path, options.limits, options.on_limit, ec);
    if (ec) return log;
    log.sink_ = std::move(sink);
    log.redaction_ = redaction;
    detail::prune_event_logs(options.path, kept_logs);
    return log;
}

inline void EventLog::write(const Event& event) noexcept {
    if (!sink_) return;
    try {
        sink_->write(to_json_line(event, redaction_));
    } catch (const std::exception&) {  // only of memory
        ++lost_events_;
    }
}

}  // namespace warden
