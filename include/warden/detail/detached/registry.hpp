// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The registry of detached processes: records in files, and what is true of them now. Not part of
/// <warden/warden.hpp>: it brings the parser of Boost.JSON.
///
/// Knows:         which record to believe, and when a process is lost, gone or foreign.
/// Does not know: how processes are started or stopped; it signals nobody.
/// Thread-safety: safe, also among processes. A record has one writer at a time: the program that starts the process,
///                then its shim.
/// Errors:        of the directory, by code. A record that is damaged or not to be trusted is an entry like the others,
///                whose state says so.
/// Allocates:     the records, one at a time while they are read.

#include <warden/detached/record.hpp>
#include <warden/detail/detached/process_identity.hpp>
#include <warden/detail/detached/record_files.hpp>
#include <warden/detail/detached/record_json.hpp>
#include <warden/detail/detached/record_parser.hpp>
#include <warden/error.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// The records of a directory.
struct DetachedListing {
    std::vector<DetachedInfo> entries{};  ///< The newest first.
    bool truncated = false;               ///< There are more than `RecordFiles::max_names`.
};

/// What a word may stand for.
struct DetachedMatches {
    std::vector<DetachedInfo> entries{};  ///< One, if the word is clear; the candidates, if it is not.
    bool is_ambiguous = false;
};

class Registry {
public:
    using Time = std::chrono::system_clock::time_point;

    /// The shortest beginning of a uuid that `find` takes.
    static constexpr std::size_t shortest_prefix = 4;
    /// How long a shim may take to begin after the program that started it has ended.
    static constexpr std::chrono::seconds settle_time{30};

    Registry() = default;
    explicit Registry(RecordFiles files) noexcept : files_(std::move(files)) {}

    /// @see RecordFiles::open
    [[nodiscard]] static Registry open(const std::filesystem::path& data_directory, bool create, error_code& ec,
                                       std::string& why) {
        return Registry(RecordFiles::open(data_directory, create, ec, why));
    }

    [[nodiscard]] const RecordFiles& files() const noexcept { return files_; }

    /// EFBIG if the record would have more than `max_record_bytes`.
    /// @see RecordFiles::write
    void write(const DetachedRecord& record, error_code& ec) const;

    /// `errc::not_found` if there is none.
    [[nodiscard]] DetachedInfo read(const Uuid& uuid, error_code& ec) const;

    /// All records. 10,000 take a fraction of a second.
    [[nodiscard]] DetachedListing scan(error_code& ec) const;

    /// The process with the uuid `word`; else the newest of the name `word` that runs, or the newest; else the one
    /// whose uuid begins with `word`. Empty if there is none.
    [[nodiscard]] DetachedMatches find(std::string_view word, error_code& ec) const;

    /// @see RecordFiles::remove
    bool remove(const Uuid& uuid, error_code& ec) const { return files_.remove(uuid, ec); }

private:
    [[nodiscard]] std::optional<DetachedInfo> read_name(const PidSpace& space, const std::string& name) const;
    [[nodiscard]] bool load(const std::string& name, DetachedInfo& info) const;

    RecordFiles files_;
};

/// The state of a process whose record says what it says, if whoever answers for it was found so: the shim, or before
/// that one has begun, the program that starts it. `problem` is set if the state is not the one that is recorded.
[[nodiscard]] inline DetachedState judge_state(const DetachedRecord& record, const Sighting& responsible,
                                               Registry::Time now, std::string& problem);

// -- implementation ----------------------------------------------------------

inline DetachedState judge_state(const DetachedRecord& record, const Sighting& responsible, Registry::Time now,
                                 std::string& problem) {
    if (record.state == DetachedState::exited) return record.state;
    const bool has_shim = record.shim.pid != 0;
    const std::string who = has_shim ? "its shim, pid " + std::to_string(record.shim.pid) + ','
                                     : "the program that starts it, pid " + std::to_string(record.starter.pid) + ',';
    switch (responsible.presence) {
        case Presence::alive: return record.state;
        case Presence::other_boot: problem = "the system was started again since"; return DetachedState::gone;
        case Presence::other_namespace:
            problem = "it belongs to another pid or time namespace, such as a container";
            return DetachedState::foreign;
        case Presence::unknown: problem = who + " could not be checked: " + responsible.problem; return record.state;
        case Presence::ended: break;
    }
    const auto age = now - record.started_at;
    if (!has_shim && age >= Registry::Time::duration::zero() && age < Registry::settle_time) return record.state;
    problem = who + (has_shim ? " ended without a record of how the process ended" : " ended before a shim had begun");
    return DetachedState::lost;
}

inline void Registry::write(const DetachedRecord& record, error_code& ec) const {
    const std::string text = to_json(record);
    if (text.size() > max_record_bytes) ec = system_code(EFBIG);
    else files_.write(record.uuid, text, ec);
}

/// Reads the file; false if nothing is there. What is wrong with the file is the state.
inline bool Registry::load(const std::string& name, DetachedInfo& info) const {
    RecordText found = files_.read(name, max_record_bytes);
    if (found.kind == RecordText::Kind::none) return false;
    info = {};
    info.file = files_.path() / name;
    info.state = found.kind == RecordText::Kind::foreign ? DetachedState::foreign : DetachedState::corrupt;
    info.problem = std::move(found.reason);
    const auto uuid = parse_uuid(std::string_view(name).substr(0, name.size() - RecordFiles::suffix.size()));
    if (found.kind == RecordText::Kind::text) {
        ParsedRecord parsed = parse_record(found.text);
        info.record = std::move(parsed.record);
        info.problem = std::move(parsed.mistake);
        if (found.text.empty()) info.problem = "is empty";
        else if (!uuid) info.problem = "its name is no uuid";
        else if (parsed.is_newer) info.problem = "was written by a newer version of warden";
        else if (info.problem.empty() && info.record.uuid != *uuid) info.problem = "is named like another process";
        if (parsed.is_newer) info.state = DetachedState::foreign;
        else if (info.problem.empty()) info.state = info.record.state;
    }
    info.record.uuid = uuid.value_or(Uuid{});  // a name is unique
    return true;
}

inline std::optional<DetachedInfo> Registry::read_name(const PidSpace& space, const std::string& name) const {
    DetachedInfo info;
    for (bool again = false;; again = true) {
        if (!load(name, info)) return std::nullopt;
        if (!info.is_active()) return info;
        const DetachedRecord& record = info.record;
        const Sighting responsible = look_for(space, record.shim.pid != 0 ? record.shim : record.starter);
        const DetachedState judged = judge_state(record, responsible, std::chrono::system_clock::now(), info.problem);
        // The shim may have written the end and ended after the record was read.
        if (judged == DetachedState::lost && !again) continue;
        info.state = judged;
        break;
    }
    if (info.state != DetachedState::gone && info.state != DetachedState::foreign && info.record.process.pid != 0)
        info.process_alive = look_for(space, info.record.process).presence == Presence::alive;
    if (info.state == DetachedState::lost && info.process_alive)
        info.problem += "; the process, pid " + std::to_string(info.record.process.pid) + ", still runs";
    return info;
}

inline DetachedInfo Registry::read(const Uuid& uuid, error_code& ec) const {
    auto found = read_name(own_pid_space(), RecordFiles::name_of(uuid));
    ec = found ? error_code() : make_error_code(errc::not_found);
    return found ? std::move(*found) : DetachedInfo();
}

inline DetachedListing Registry::scan(error_code& ec) const {
    DetachedListing listing;
    const RecordNames names = files_.names(ec);
    if (ec) return listing;
    const PidSpace space = own_pid_space();
    listing.truncated = names.truncated;
    listing.entries.reserve(names.names.size());
    for (const std::string& name : names.names) {
        if (auto info = read_name(space, name)) listing.entries.push_back(std::move(*info));
    }
    const auto is_newer = [](const DetachedInfo& a, const DetachedInfo& b) {
        return a.record.started_at != b.record.started_at ? a.record.started_at > b.record.started_at
                                                          : a.record.uuid < b.record.uuid;
    };
    std::sort(listing.entries.begin(), listing.entries.end(), is_newer);
    return listing;
}

inline DetachedMatches Registry::find(std::string_view word, error_code& ec) const {
    DetachedMatches matches;
    std::string lower(word);
    for (char& c : lower) c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    if (const auto uuid = parse_uuid(lower)) {
        ec.clear();
        if (auto found = read_name(own_pid_space(), RecordFiles::name_of(*uuid)))
            matches.entries.push_back(std::move(*found));
        return matches;
    }
    DetachedListing listing = scan(ec);
    std::optional<DetachedInfo> named;
    for (DetachedInfo& info : listing.entries) {
        const bool is_believed = info.state < DetachedState::corrupt;
        const bool is_better = !named || (!named->is_active() && info.is_active());
        if (is_believed && info.record.name == word && is_better) named = info;
        if (lower.size() >= shortest_prefix && uuid_text(info.record.uuid).starts_with(lower))
            matches.entries.push_back(std::move(info));
    }
    if (named) matches.entries = {std::move(*named)};
    matches.is_ambiguous = matches.entries.size() > 1;
    return matches;
}

}  // namespace warden::detail
#endif
