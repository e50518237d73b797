// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Finds the log of a process by its name or uuid, also when another program started it, or when it has ended.
///
/// Knows:         what log files say of whose they are, and where they do not, what their names say.
/// Does not know: which processes live.
/// Thread-safety: functions without state.
/// Errors:        by code, or `system_error` in words from the overloads without one.
/// Allocates:     what it returns; names of directories.

#include <warden/error.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace warden {

/// A log that was found.
struct FoundLog {
    std::filesystem::path path{};  ///< Of the active file; `tail_file` and `LogFollower` find the rotated ones.
    std::string uuid{};            ///< Empty if neither the file nor its name says it.
    std::string name{};            ///< Of the process; empty if the file does not say it. Any bytes but NUL.
    bool only_errors = false;      ///< The log of stderr, where stdout has one of its own.
    /// When the process started; where the file does not say it, when it was written last.
    std::chrono::system_clock::time_point time{};
};

/// The logs below `directory`, at most eight levels deep, of the process with the full uuid `key`; if there are none,
/// of all processes of the name `key`; if there are none, of those whose uuid begins with `key`, which then has at
/// least `shortest_uuid` characters. The newest first, and of one process the log of stdout first. A log that several
/// processes shared is of the one that began last. Where a file does not say whose it is, because another program wrote
/// it or the file system has no extended attributes, its name does: `<key>.log`, or a uuid anywhere in it.
///
/// Only regular files of this user with a single name; never follows a symbolic link below `directory`. Nothing found
/// is no error; ENOENT, EACCES or the system's code if nothing was found and a directory could not be read.
[[nodiscard]] WARDEN_INLINE std::vector<FoundLog> find_logs(const std::filesystem::path& directory,
                                                            std::string_view key, error_code& ec);

inline constexpr std::size_t shortest_uuid = 8;

/// The first of `find_logs`. `errc::not_found`; `errc::ambiguous` if several uuids begin with `key`. The exception says
/// what was looked for and where, or lists the candidates.
[[nodiscard]] WARDEN_INLINE std::filesystem::path find_log(const std::filesystem::path& directory, std::string_view key,
                                                           error_code& ec);
[[nodiscard]] WARDEN_INLINE std::filesystem::path find_log(const std::filesystem::path& directory,
                                                           std::string_view key);

/// The same below the log directory that a manager with the configuration of the environment has.
/// @throws system_error errc::invalid_configuration too: see `ManagerConfig::from_environment`.
[[nodiscard]] WARDEN_INLINE std::filesystem::path find_log(std::string_view key);

}  // namespace warden

// -- implementation ----------------------------------------------------------
#if WARDEN_HAS_BODIES
#include <warden/detail/logs/default_directories.hpp>
#include <warden/detail/logs/log_owner.hpp>
#include <warden/detail/logs/log_walk.hpp>
#include <warden/manager_config.hpp>
#include <warden/output/log_options.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

namespace warden {

namespace detail {

/// One search.
class LogSearch {
public:
    LogSearch(const std::filesystem::path& root, std::string_view key)
        : walk_(root), key_(key), file_stem_(safe_file_name(key)), uuid_(lower(key)) {
        if (uuid_.size() < shortest_uuid || !begins_uuid(uuid_)) uuid_.clear();
    }

    /// Once.
    [[nodiscard]] std::vector<FoundLog> run(error_code& ec);

    /// Whether what was found are uuids that begin with the key.
    [[nodiscard]] bool is_by_beginning() const noexcept { return best_ == Match::begin_of_uuid; }

private:
    enum class Match : std::uint8_t { none, begin_of_uuid, name, uuid };  // the best last

    using Name = LogWalk::Name;

    void look_at(const LogDirectory& directory, const LogWalk::Directories& directories, const Name& name);
    [[nodiscard]] Match match(const FoundLog& log, bool says_owner) const;
    [[nodiscard]] Match match_uuid(std::string_view uuid) const;
    [[nodiscard]] static std::string lower(std::string_view text);
    [[nodiscard]] static std::string uuid_in(std::string_view file_name);
    [[nodiscard]] static Name active_name(const LogDirectory& directory, const Name& name, const StreamMark& mark);

    LogWalk walk_;
    std::string key_;
    std::string file_stem_;
    std::string uuid_;  // what the key may begin; empty if it begins none
    Match best_ = Match::begin_of_uuid;
    std::map<std::filesystem::path, FoundLog> found_;  // all of the best kind
};

inline std::string LogSearch::lower(std::string_view text) {
    std::string result(text);
    for (char& c : result) c = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    return result;
}

/// The first one in a file's name.
inline std::string LogSearch::uuid_in(std::string_view file_name) {
    for (std::size_t i = 0; i + uuid_chars <= file_name.size(); ++i) {
        if (begins_uuid(file_name.substr(i, uuid_chars))) return std::string(file_name.substr(i, uuid_chars));
    }
    return {};
}

/// Of a rotated file `x.1` the name `x`, if that is of the same log as far as can be seen; otherwise its own.
inline LogSearch::Name LogSearch::active_name(const LogDirectory& directory, const Name& name, const StreamMark& mark) {
    const auto is_digit = [](auto c) { return c >= '0' && c <= '9'; };
    const auto digits =
        static_cast<std::size_t>(std::find_if_not(name.rbegin(), name.rend(), is_digit) - name.rbegin());
    if (digits == 0 || digits + 1 >= name.size() || name[name.size() - digits - 1] != '.') return name;
    Name active = name.substr(0, name.size() - digits - 1);
    const auto log = directory.look_at(active);
    return log && log->mark.stream == mark.stream ? active : name;
}

inline LogSearch::Match LogSearch::match_uuid(std::string_view uuid) const {
    if (uuid_.empty() || !uuid.starts_with(uuid_)) return Match::none;
    return uuid_.size() == uuid_chars ? Match::uuid : Match::begin_of_uuid;
}

inline LogSearch::Match LogSearch::match(const FoundLog& log, bool says_owner) const {
    if (says_owner) {
        const bool same = log.name == std::string_view(key_).substr(0, LogOwner::longest_name);
        return std::max(match_uuid(log.uuid), same ? Match::name : Match::none);
    }
    const std::string stem = log.path.stem().string();
    return std::max(match_uuid(log.uuid), stem == key_ || stem == file_stem_ ? Match::name : Match::none);
}

inline void LogSearch::look_at(const LogDirectory& directory, const LogWalk::Directories& directories,
                               const Name& name) {
    const std::filesystem::path file_name(name);
    if (name.starts_with('.') && file_name.extension() == ".tmp") return;  // on its way to take the place of a log
    const auto file = directory.look_at(name);
    if (!file) return;
    const auto owner = parse_log_owner(file->owner);
    FoundLog log;
    const std::filesystem::path active = active_name(directory, name, file->mark);
    log.path = walk_.path_of(directories) / active;
    if (owner) {
        std::tie(log.uuid, log.name, log.only_errors, log.time) =
            std::tie(owner->uuid, owner->name, owner->only_errors, owner->started);
    } else {
        log.uuid = uuid_in(active.string());
        log.time = file->written;
    }
    const Match found = match(log, owner.has_value());
    if (found < best_) return;
    if (found > best_) found_.clear();
    best_ = found;
    auto [at, is_new] = found_.try_emplace(log.path, log);
    if (!is_new && at->second.time < log.time) at->second = std::move(log);  // the newest of what rotations left
}

inline std::vector<FoundLog> LogSearch::run(error_code& ec) {
    ec.clear();
    walk_.run([this](const auto& directory, const auto& directories,
                     const auto& name) { look_at(directory, directories, name); },
              [&ec](const auto&, const error_code& failed) {
                  if (!ec) ec = failed;
              });
    std::vector<FoundLog> logs;
    for (auto& [path, log] : found_) logs.push_back(std::move(log));
    std::sort(logs.begin(), logs.end(), [](const FoundLog& a, const FoundLog& b) {
        return std::tie(b.time, a.uuid, a.only_errors, a.path) < std::tie(a.time, b.uuid, b.only_errors, b.path);
    });
    if (!logs.empty()) ec.clear();
    return logs;
}

/// For messages: what a terminal could take for a command is shown as `?`.
inline std::string shown(std::string_view text) {
    std::string result(text);
    for (char& c : result) c = static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
    return result;
}

/// What the uuids may be, for who wrote too little of one.
inline std::string list_candidates(const std::vector<FoundLog>& logs) {
    constexpr std::size_t most = 10;
    std::string list;
    for (std::size_t i = 0; i < std::min(most, logs.size()); ++i)
        list += (i > 0 ? ", " : "") + logs[i].uuid + (logs[i].name.empty() ? "" : " (" + shown(logs[i].name) + ')');
    return logs.size() > most ? list + ", and " + std::to_string(logs.size() - most) + " more" : list;
}

/// `words` says more on error.
inline std::filesystem::path choose_log(const std::filesystem::path& directory, std::string_view key, error_code& ec,
                                        std::string& words) {
    LogSearch search(directory, key);
    std::vector<FoundLog> logs = search.run(ec);
    const std::string where = "'" + shown(key) + "' below " + directory.string();
    if (logs.empty()) {
        words = "no log of " + where + ": looked for a process of that name, a uuid" +
                (key.size() < uuid_chars ? ", and, of 8 characters or more, the beginning of one" : "");
        if (!ec) ec = errc::not_found;
        return {};
    }
    if (search.is_by_beginning()) {
        std::vector<FoundLog> different;
        for (const FoundLog& log : logs) {
            const auto same = [&log](const FoundLog& other) { return other.uuid == log.uuid; };
            if (std::none_of(different.begin(), different.end(), same)) different.push_back(log);
        }
        if (different.size() > 1) {
            words = where + " may be " + list_candidates(different);
            ec = errc::ambiguous;
            return {};
        }
    }
    return std::move(logs.front().path);
}

}  // namespace detail

WARDEN_INLINE std::vector<FoundLog> find_logs(const std::filesystem::path& directory, std::string_view key,
                                              error_code& ec) {
    return detail::LogSearch(directory, key).run(ec);
}

WARDEN_INLINE std::filesystem::path find_log(const std::filesystem::path& directory, std::string_view key,
                                             error_code& ec) {
    std::string words;
    return detail::choose_log(directory, key, ec, words);
}

WARDEN_INLINE std::filesystem::path find_log(const std::filesystem::path& directory, std::string_view key) {
    error_code ec;
    std::string words;
    auto path = detail::choose_log(directory, key, ec, words);
    if (ec) throw system_error(ec, words);
    return path;
}

WARDEN_INLINE std::filesystem::path find_log(std::string_view key) {
    return find_log(detail::log_directory_of(ManagerConfig::from_environment()), key);
}

}  // namespace warden
#endif
