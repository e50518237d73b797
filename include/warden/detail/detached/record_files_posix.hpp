// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The directory of records of detached processes: `detached` in the data directory, of this user alone (0700).
///
/// Knows:         openat(2) step by step, rename(2), fsync(2); which files are to be trusted.
/// Does not know: what is in a record.
/// Thread-safety: safe, also among processes: a file is replaced in one instant. Of two writers of one record, the last
///                one wins.
/// Errors:        the system's code; EPERM if another user could change the directory. A file that cannot be trusted is
///                an answer, not an error.
/// Allocates:     names and texts.

#include <warden/error.hpp>
#include <warden/platform.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/detached/record_json.hpp>
#include <warden/detail/logs/file_operations_posix.hpp>
#include <warden/detail/logs/trusted_directory_posix.hpp>
#include <warden/detail/system/random_uuid.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/detail/text/file_name.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail {

/// What is at the name of a record.
struct RecordText {
    enum class Kind : std::uint8_t {
        none,        ///< Nothing is there.
        text,        ///< A file of this user that no other user may write to.
        foreign,     ///< Something that is not to be trusted, or no plain file: `reason`.
        unreadable,  ///< `reason` has the system's words.
    };
    Kind kind = Kind::none;
    std::string text{};
    std::string reason{};
};

/// The names in the directory.
struct RecordNames {
    std::vector<std::string> names{};  ///< Of all files `*.json`, in no order.
    bool truncated = false;            ///< There are more than `RecordFiles::max_names`.
};

class RecordFiles {
public:
    static constexpr std::size_t max_names = 100'000;
    static constexpr std::string_view suffix = ".json";
    static constexpr std::string_view socket_suffix = ".socket";
    static constexpr std::string_view request_suffix = ".request";
    static constexpr std::string_view lock_prefix = ".name-";

    RecordFiles() = default;

    /// Opens `detached` in `data_directory`, and with `create` makes what is missing of the path (0700). EPERM if
    /// another user could change it, and `why` says which part of the path; ENOENT if it is missing.
    [[nodiscard]] static RecordFiles open(const std::filesystem::path& data_directory, bool create, error_code& ec,
                                          std::string& why);

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    /// Open on the directory, for openat(2).
    [[nodiscard]] int descriptor() const noexcept { return directory_.get(); }
    /// Where the record of a process is.
    [[nodiscard]] std::filesystem::path path_of(const Uuid& uuid) const { return path_ / name_of(uuid); }
    [[nodiscard]] static std::string name_of(const Uuid& uuid) { return uuid_text(uuid).append(suffix); }
    /// What is beside the record of a process: the socket of its shim, and the request that `restart` makes again.
    [[nodiscard]] static std::string socket_name_of(const Uuid& uuid) { return uuid_text(uuid).append(socket_suffix); }
    [[nodiscard]] static std::string request_name_of(const Uuid& uuid) {
        return uuid_text(uuid).append(request_suffix);
    }
    /// The lock of all processes with a name.
    [[nodiscard]] static std::string lock_name_of(std::string_view name) {
        return std::string(lock_prefix) + distinct_file_name(name, 120) + ".lock";
    }

    /// Replaces the record, or makes it (0600). It is on the disk when this returns; whoever reads meanwhile, and a
    /// system that fails meanwhile, has either the old one or the new one. On error the old one is there.
    void write(const Uuid& uuid, std::string_view text, error_code& ec) const { write(name_of(uuid), text, ec); }
    /// The same for any file of the directory.
    void write(const std::string& name, std::string_view text, error_code& ec) const;

    /// What is at `name`, a plain file name: at most `max_bytes` and one more byte of it. Never waits, follows no link.
    [[nodiscard]] RecordText read(const std::string& name, std::size_t max_bytes) const;

    [[nodiscard]] RecordNames names(error_code& ec) const;

    /// The record, after what is beside it. False if there is none.
    bool remove(const Uuid& uuid, error_code& ec) const;

    /// Calls `each` with every name in the directory, until it returns false.
    template <class F>
    error_code for_each_name(F each) const;

private:
    error_code write_once(const std::string& name, std::string_view text) const;
    error_code fill(int fd, std::string_view text) const;
    error_code store_names() const;

    std::filesystem::path path_;
    UniqueFd directory_;
};

// -- implementation ----------------------------------------------------------
inline constexpr std::string_view temporary_record_prefix = ".new-";

inline std::string mode_text(const struct ::stat& status) {
    char mode[8];
    (void)std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(status.st_mode & 07777u));
    return mode;
}

inline RecordFiles RecordFiles::open(const std::filesystem::path& data_directory, bool create, error_code& ec,
                                     std::string& why) {
    RecordFiles files;
    DirectoryRefusal refusal;
    files.path_ = absolute_path(data_directory) / "detached";
    const UniqueFd held = open_trusted_directory(files.path_, create, ec, refusal);
    struct ::stat status {};
    if (!ec && ::fstat(held.get(), &status) != 0) ec = last_error();
    if (ec) {
        why = "'" + (refusal.part.empty() ? files.path_ : refusal.part).string() + "' " +
              (ec.value() == EPERM ? refusal.reason : "cannot be opened: " + ec.message());
        return {};
    }
    if (status.st_uid != ::geteuid()) why = "belongs to user " + std::to_string(status.st_uid);
    else if ((status.st_mode & 077u) != 0) why = "is open to others (mode " + mode_text(status) + "; 0700 is safe)";
    if (!why.empty()) {
        why = "'" + files.path_.string() + "' " + why;
        ec = system_code(EPERM);
        return {};
    }
    files.directory_.reset(::openat(held.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (files.directory_) return files;
    ec = last_error();
    why = "'" + files.path_.string() + "' cannot be read: " + ec.message();
    return {};
}

inline void RecordFiles::write(const std::string& name, std::string_view text, error_code& ec) const {
    ec = write_once(name, text);
    // Taken for a leftover, because this program was stopped for an hour or the clock was set.
    if (ec.value() == ENOENT) ec = write_once(name, text);
}

inline error_code RecordFiles::write_once(const std::string& name, std::string_view text) const {
    const std::string temporary = std::string(temporary_record_prefix) + uuid_text(new_uuid());
    constexpr int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const UniqueFd file(::openat(directory_.get(), temporary.c_str(), flags, 0600));
    if (!file) return last_error();
    error_code ec = fill(file.get(), text);
    if (!ec && ::renameat(directory_.get(), temporary.c_str(), directory_.get(), name.c_str()) != 0) ec = last_error();
    if (!ec) return store_names();
    (void)::unlinkat(directory_.get(), temporary.c_str(), 0);
    return ec;
}

inline error_code RecordFiles::fill(int fd, std::string_view text) const {
    std::size_t written = 0;
    if (const error_code ec = append_all(fd, 0, text, written)) return ec;
    if (::fchmod(fd, 0600) != 0) return last_error();  // whatever the umask was
    return ::fsync(fd) == 0 ? error_code() : last_error();
}

/// So that the names last. Some file systems have nothing to do for that, and say so.
inline error_code RecordFiles::store_names() const {
    return ::fsync(directory_.get()) == 0 || errno == EINVAL || errno == ENOTSUP ? error_code() : last_error();
}

inline RecordText RecordFiles::read(const std::string& name, std::size_t max_bytes) const {
    using Kind = RecordText::Kind;
    constexpr int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
    const UniqueFd file(::openat(directory_.get(), name.c_str(), flags));
    const int refused = file ? 0 : errno;
    if (refused == ENOENT) return {};
    if (refused == ELOOP || refused == EMLINK) return {Kind::foreign, {}, "is a symbolic link"};
    if (refused == ENXIO) return {Kind::foreign, {}, "is no plain file"};  // a socket
    struct ::stat status {};
    if (refused != 0 || ::fstat(file.get(), &status) != 0)
        return {Kind::unreadable, {}, "cannot be read: " + last_error().message()};
    if (!S_ISREG(status.st_mode)) return {Kind::foreign, {}, "is no plain file"};
    if (status.st_uid != ::geteuid()) return {Kind::foreign, {}, "belongs to user " + std::to_string(status.st_uid)};
    if ((status.st_mode & 022u) != 0)
        return {Kind::foreign, {}, "is writable by others (mode " + mode_text(status) + ")"};
    RecordText found{Kind::text, {}, {}};
    found.text.resize(std::min(static_cast<std::size_t>(status.st_size), max_bytes) + 1);
    error_code ec;
    found.text.resize(read_at(file, 0, found.text.data(), found.text.size(), ec));
    if (ec) return {Kind::unreadable, {}, "cannot be read: " + ec.message()};
    return found;
}

template <class F>
inline error_code RecordFiles::for_each_name(F each) const {
    UniqueFd own(::openat(directory_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));  // has a position of its own
    if (!own) return last_error();
    struct Close {
        void operator()(DIR* listing) const noexcept { ::closedir(listing); }
    };
    const std::unique_ptr<DIR, Close> listing(::fdopendir(own.get()));
    if (!listing) return last_error();
    (void)own.release();
    for (;;) {
        errno = 0;
        const dirent* const entry = ::readdir(listing.get());
        if (!entry) return errno == 0 ? error_code() : last_error();
        if (!each(std::string_view(entry->d_name))) return {};
    }
}

inline RecordNames RecordFiles::names(error_code& ec) const {
    RecordNames found;
    ec = for_each_name([&found](std::string_view name) {
        if (!name.ends_with(suffix)) return true;
        found.truncated = found.names.size() == max_names;
        if (!found.truncated) found.names.emplace_back(name);
        return !found.truncated;
    });
    return found;
}

inline bool RecordFiles::remove(const Uuid& uuid, error_code& ec) const {
    ec.clear();
    for (const std::string& name : {socket_name_of(uuid), request_name_of(uuid)}) {
        if (::unlinkat(directory_.get(), name.c_str(), 0) != 0 && errno != ENOENT) ec = last_error();
    }
    if (ec) return false;
    if (::unlinkat(directory_.get(), name_of(uuid).c_str(), 0) == 0) {
        ec = store_names();
        return true;
    }
    if (errno != ENOENT) ec = last_error();
    return false;
}

}  // namespace warden::detail
#endif
