// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A directory that only this user and root can change, opened from the root down and held by its descriptor.
///
/// Knows:         owners, modes, sticky directories, symbolic links; openat(2) with O_NOFOLLOW for each part of a path.
/// Does not know: what the directory is for.
/// Thread-safety: functions without state.
/// Errors:        EPERM if another user could put something else in the place of a part; else the system's code. The
///                sentence says which part it was, and why.
/// Allocates:     path names.

#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/logs/log_access_posix.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail {

/// Why a directory was refused.
struct DirectoryRefusal {
    std::filesystem::path part;  ///< The part of the path, from the root on.
    std::string reason;          ///< "is writable by others (mode 0777)"
};

/// Opens the directory at the absolute `path`; with `create`, the parts that are missing are made (0700).
///
/// Each part belongs to this user or to root, and nobody else may write to it. In a sticky directory such as /tmp
/// others may write, so there a link must be of this user. Links are followed where nobody else could have made them.
/// A directory that its group may write to is accepted if the group is that of root, or the private group of the owner
/// (the group that has the owner's number), which is the usual set-up of home directories. In a user namespace, an
/// owner that is not mapped counts as root.
[[nodiscard]] inline UniqueFd open_trusted_directory(const std::filesystem::path& path, bool create, error_code& ec,
                                                     DirectoryRefusal& refusal);

/// The same; the reason is not kept.
[[nodiscard]] inline UniqueFd open_trusted_directory(const std::filesystem::path& path, bool create, error_code& ec);

/// "'/srv/logs' is writable by others (mode 0777)"; empty if the directory would not be refused.
[[nodiscard]] inline std::string why_not_trusted(const std::filesystem::path& directory);

// -- implementation ----------------------------------------------------------
#if WARDEN_OS_LINUX
inline constexpr int search_flags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;  // needs no right to list

/// Whether `user` stands for all users that this user namespace does not map.
inline bool is_unmapped(::uid_t user) noexcept {
    constexpr ::uid_t overflow = 65534;
    if (user != overflow) return false;
    std::FILE* const map = std::fopen("/proc/self/uid_map", "re");
    if (map == nullptr) return false;
    bool mapped = false;
    unsigned long first = 0;
    unsigned long outside = 0;
    unsigned long count = 0;
    while (std::fscanf(map, "%lu %lu %lu", &first, &outside, &count) == 3)
        mapped = mapped || (user >= first && user - first < count);
    std::fclose(map);
    return !mapped && count > 0;
}
#else
#ifdef O_SEARCH
inline constexpr int search_flags = O_SEARCH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
#else
inline constexpr int search_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
#endif
inline bool is_unmapped(::uid_t) noexcept { return false; }
#endif

inline bool is_trusted_owner(::uid_t user) noexcept { return user == ::geteuid() || user == 0 || is_unmapped(user); }

/// Whether others may make names in the directory.
inline bool is_writable_by_others(const struct ::stat& directory) noexcept {
    const bool private_group = directory.st_gid == 0 || directory.st_gid == directory.st_uid;
    return (directory.st_mode & (private_group ? S_IWOTH : S_IWOTH | S_IWGRP)) != 0;
}

/// Why another user could put something else in the place of what is in the directory; empty if none can.
inline std::string distrust(const struct ::stat& directory) {
    if (!is_trusted_owner(directory.st_uid)) return "belongs to user " + std::to_string(directory.st_uid);
    if ((directory.st_mode & S_ISVTX) != 0 || !is_writable_by_others(directory)) return {};
    char mode[8];
    (void)std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(directory.st_mode & 07777u));
    return std::string("is writable by others (mode ") + mode + ')';
}

/// One walk from the root to a directory.
class TrustedWalk {
public:
    TrustedWalk(bool create, error_code& ec, DirectoryRefusal& refusal) : create_(create), ec_(ec), refusal_(refusal) {}

    UniqueFd run(const std::filesystem::path& path) {
        ec_.clear();
        push(path);
        enter_root();
        while (!ec_ && !left_.empty()) {
            const std::string name = std::move(left_.back());
            left_.pop_back();
            step(name);
        }
        return ec_ ? UniqueFd() : std::move(at_);
    }

private:
    /// What is to be walked before what is left.
    void push(const std::filesystem::path& path) {
        std::vector<std::string> names;
        for (const auto& part : path.relative_path()) {
            if (!part.empty() && part != ".") names.push_back(part.native());
        }
        left_.insert(left_.end(), names.rbegin(), names.rend());
    }

    void enter_root() {
        where_ = "/";
        enter(UniqueFd(::open("/", search_flags)));
    }

    void enter(UniqueFd fd) {
        if (!fd || ::fstat(fd.get(), &status_) != 0) return fail(errno, {});
        at_ = std::move(fd);
        if (std::string reason = distrust(status_); !reason.empty()) fail(EPERM, std::move(reason));
    }

    void step(const std::string& name) {
        const std::filesystem::path former = where_;
        where_ /= name;
        UniqueFd fd(::openat(at_.get(), name.c_str(), search_flags));
        if (!fd && errno == ENOENT && create_) {
            // Somebody else may make or remove it at the same time; what is opened then is looked at as any other.
            if (::mkdirat(at_.get(), name.c_str(), 0700) != 0 && errno != EEXIST) return fail(errno, {});
            fd.reset(::openat(at_.get(), name.c_str(), search_flags));
        }
        if (fd) return enter(std::move(fd));
        const int error = errno;
        struct ::stat link {};
        const bool is_link = (error == ELOOP || error == ENOTDIR || error == EMLINK) &&
                             ::fstatat(at_.get(), name.c_str(), &link, AT_SYMLINK_NOFOLLOW) == 0 &&
                             S_ISLNK(link.st_mode);
        if (!is_link) return fail(error, {});
        follow(name, former, link);
    }

    void follow(const std::string& name, const std::filesystem::path& former, const struct ::stat& link) {
        const bool shared = is_writable_by_others(status_);
        if (shared ? link.st_uid != ::geteuid() : !is_trusted_owner(link.st_uid))
            return fail(EPERM, "is a link of user " + std::to_string(link.st_uid));
        std::string target(4096, '\0');
        const ::ssize_t size = ::readlinkat(at_.get(), name.c_str(), target.data(), target.size());
        if (size < 0) return fail(errno, {});
        if (static_cast<std::size_t>(size) == target.size()) return fail(ENAMETOOLONG, {});
        if (++links_ > max_links) return fail(ELOOP, {});
        target.resize(static_cast<std::size_t>(size));
        push(target);
        if (target.starts_with('/')) enter_root();
        else where_ = former;
    }

    void fail(int error, std::string reason) {
        ec_ = system_code(error);
        refusal_ = {where_, reason.empty() ? ec_.message() : std::move(reason)};
    }

    static constexpr int max_links = 40;  // as Linux has it

    const bool create_;
    error_code& ec_;
    DirectoryRefusal& refusal_;
    std::vector<std::string> left_;  // the next one last
    std::filesystem::path where_;
    UniqueFd at_;
    struct ::stat status_ {};
    int links_ = 0;
};

inline UniqueFd open_trusted_directory(const std::filesystem::path& path, bool create, error_code& ec,
                                       DirectoryRefusal& refusal) {
    refusal = {};
    return TrustedWalk(create, ec, refusal).run(path);
}

inline UniqueFd open_trusted_directory(const std::filesystem::path& path, bool create, error_code& ec) {
    DirectoryRefusal refusal;
    return open_trusted_directory(path, create, ec, refusal);
}

inline std::string why_not_trusted(const std::filesystem::path& directory) {
    error_code ec;
    DirectoryRefusal refusal;
    (void)open_trusted_directory(absolute_path(directory), false, ec, refusal);
    return ec.value() == EPERM ? "'" + refusal.part.string() + "' " + refusal.reason : "";
}

}  // namespace warden::detail
#endif
