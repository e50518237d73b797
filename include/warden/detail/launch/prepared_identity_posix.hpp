// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The part of a prepared launch that says who the child runs as, and what it may use.
///
/// Knows:         users and groups by name, setrlimit(2)'s resources.
/// Thread-safety: see prepared_launch_posix.hpp, which includes this.
/// Errors:        SpawnError, with the step.

#include <warden/detail/launch/prepared_launch_posix.hpp>

#if WARDEN_OS_POSIX
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <grp.h>
#include <pwd.h>
#include <sys/resource.h>
#include <unistd.h>

namespace warden::detail {

inline gid_t PreparedLaunch::find_group(const std::string& name) const {
    std::vector<char> space(std::size_t{16} * 1024);
    const auto group = id_of<gid_t>(name, [&](const std::string& text) -> std::optional<gid_t> {
        struct group entry {};
        struct group* found = nullptr;
        ::getgrnam_r(text.c_str(), &entry, space.data(), space.size(), &found);
        return found ? std::optional(found->gr_gid) : std::nullopt;
    });
    if (!group) fail_start(command_, errc::invalid_options, SpawnStep::identity, name, "there is no such group");
    return *group;
}

inline void PreparedLaunch::take_identity(const Identity& identity) {
    plan.umask = identity.umask ? static_cast<std::int32_t>(*identity.umask) : -1;
    plan.change_nice = identity.nice.has_value();
    plan.nice = identity.nice.value_or(0);
    if (identity.user.empty() && identity.group.empty() && !identity.groups) return;
    std::vector<char> space(std::size_t{16} * 1024);
    plan.change_ids = true;
    plan.user = ::geteuid();
    plan.group = ::getegid();
    if (!identity.user.empty()) {
        struct passwd entry {};
        struct passwd* found = nullptr;
        const auto user = id_of<uid_t>(identity.user, [&](const std::string& name) -> std::optional<uid_t> {
            ::getpwnam_r(name.c_str(), &entry, space.data(), space.size(), &found);
            return found ? std::optional(found->pw_uid) : std::nullopt;
        });
        if (!user)
            fail_start(command_, errc::invalid_options, SpawnStep::identity, identity.user, "there is no such user");
        if (!found) ::getpwuid_r(*user, &entry, space.data(), space.size(), &found);
        plan.user = *user;
        if (found) {
            plan.group = found->pw_gid;
            groups_ = groups_of(*found, &::getgrouplist);
        }
    }
    if (!identity.group.empty()) plan.group = find_group(identity.group);
    if (identity.groups) {
        groups_.clear();
        for (const std::string& name : *identity.groups) groups_.push_back(find_group(name));
    }
    plan.groups = groups_.data();
    plan.group_count = static_cast<std::uint32_t>(groups_.size());
}

inline void PreparedLaunch::take_limits(const ResourceLimits& limits) {
    if (limits.memory_bytes || limits.cpu_share || limits.processes) {
        fail_start(command_, errc::invalid_options, SpawnStep::resource_limits, {},
                   "memory_bytes, cpu_share and processes cannot be held here; leave them out");
    }
    const auto take = [&](int resource, std::optional<std::uint64_t> value) {
        if (value) plan.limits[plan.limit_count++] = {resource, static_cast<rlim_t>(*value)};
    };
    if (limits.cpu_time) take(RLIMIT_CPU, std::chrono::ceil<std::chrono::seconds>(*limits.cpu_time).count());
    take(RLIMIT_NOFILE, limits.open_files);
    take(RLIMIT_FSIZE, limits.file_bytes);
    take(RLIMIT_CORE, limits.core_bytes);
}

}  // namespace warden::detail
#endif
