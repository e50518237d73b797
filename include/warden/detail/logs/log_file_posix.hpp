// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The steps of `LogFile` by which a file is found fit, replaced and rotated, on POSIX systems.
///
/// Knows:         system calls with a directory that is held: no name leads anywhere else.
/// Does not know: the stream; see log_file.hpp.

#include <warden/detail/logs/log_file.hpp>

#if WARDEN_OS_POSIX
#include <warden/detail/logs/trusted_directory_posix.hpp>

#include <cerrno>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail {

/// A crash can leave the temporary file: with the new content, or, after the names were exchanged, with the old one.
/// A rotation first gives the old file the name path.1 as well; so no crash loses it, and its second name tells how far
/// the rotation was.
inline void tidy_up(const LogPlace& place, error_code& ec) {
    const std::string first = place.rotated(1);
    struct ::stat active {
    }, temporary{}, previous{};
    const bool has_previous = look(place, first, previous);
    if (look(place, place.temporary, temporary) && has_previous && same_file(temporary, previous)) {
        // Exchanged, but the unfinished last line, which the new file begins with, may not be cut off yet.
        const UniqueFd fd = open_in(place, first, O_RDWR);
        auto end = static_cast<std::uint64_t>(previous.st_size);
        char byte = '\n';
        while (fd && end > 0 && ::pread(fd.get(), &byte, 1, static_cast<::off_t>(end - 1)) == 1 && byte != '\n') --end;
        if (fd && end > 0) (void)!::ftruncate(fd.get(), static_cast<::off_t>(end));
    }
    ec = remove_name(place, place.temporary);
    if (ec) return;
    if (look(place, place.name, active) && has_previous && same_file(active, previous))
        (void)remove_name(place, first);  // not exchanged yet: it goes on as the active one
}

inline UniqueFd open_existing_or_new(const LogPlace& place, error_code& ec) {
    for (int attempt = 0; attempt < 8; ++attempt) {  // somebody may create or remove it in between
        struct ::stat status {};
        const bool exists = look(place, place.name, status);
        if (!exists && errno != ENOENT) break;
        if (exists && refusal(status) != 0) {  // opening a device can have effects, so it is looked at first
            ec = system_code(refusal(status));
            return {};
        }
        UniqueFd fd = open_in(place, place.name, O_RDWR | O_APPEND | (exists ? 0 : O_CREAT | O_EXCL));
        if (fd) {
            ec.clear();
            return fd;
        }
        if (errno != (exists ? ENOENT : EEXIST)) break;
    }
    ec = last_error();
    return {};
}

inline OpenLog open_log_to_write(LogFileParts& log, const std::filesystem::path& path, error_code& ec) {
    const std::filesystem::path absolute = absolute_path(path);
    LogPlace& place = log.place;
    place.path = absolute.native();
    place.name = path.filename().native();
    place.temporary = "." + place.name + ".tmp";
    OpenLog opened;
    for (int attempt = 0; attempt < 8 && !opened.handle; ++attempt) {  // an empty directory may be removed meanwhile
        place.directory = open_trusted_directory(absolute.parent_path(), true, ec);
        if (!ec) tidy_up(place, ec);
        if (ec) return {};
        opened.handle = open_existing_or_new(place, ec);
        if (ec && ec != boost::system::errc::no_such_file_or_directory) return {};
    }
    struct ::stat status {};
    if (!ec && ::fstat(opened.handle.get(), &status) != 0) ec = last_error();
    if (!ec && refusal(status) != 0) ec = system_code(refusal(status));
    opened.status = log_status_of(status);
    return opened;
}

inline UniqueFd write_temporary(const LogFileParts& log, std::string_view text, std::uint64_t offset,
                                error_code& ec) noexcept {
    constexpr int flags = O_RDWR | O_APPEND | O_CREAT | O_EXCL;
    UniqueFd fd = open_in(log.place, log.place.temporary, flags);
    if (!fd && errno == EEXIST && !remove_name(log.place, log.place.temporary))
        fd = open_in(log.place, log.place.temporary, flags);
    if (!fd) {
        ec = last_error();
        return fd;
    }
    note_in_use(fd.get());  // first: a marked file that nobody holds is taken for the leftover of a crash
    write_mark(fd.get(), {log.mark.stream, offset});
    write_owner(fd.get(), log.owner);
    std::size_t written = 0;
    ec = append_all(fd.get(), 0, text, written);
    if (ec) (void)remove_name(log.place, log.place.temporary);
    return fd;
}

inline void LogFile::replace(std::string_view text, std::uint64_t offset, error_code& ec) {
    const LogPlace& place = parts_.place;
    UniqueFd fd = write_temporary(parts_, text, offset, ec);
    if (ec) return;
    ec = exchange_names(place, place.temporary, place.name);
    if (ec) {
        (void)remove_name(place, place.temporary);
        return;
    }
    ec = remove_name(place, place.temporary);
    if (ec) {  // a directory was at the path: it goes back there
        (void)exchange_names(place, place.temporary, place.name);
        (void)remove_name(place, place.temporary);
        return;
    }
    adopt(std::move(fd), text.size(), {parts_.mark.stream, offset});
}

/// Frees the name path.1.
inline void make_room(const LogPlace& place, std::size_t kept_files, error_code& ec) {
    struct ::stat status {};
    std::size_t free = 1;  // a rotation that failed half-way has left a gap; its files are not pushed on again
    while (free <= kept_files && look(place, place.rotated(free), status)) ++free;
    if (free > kept_files) ec = remove_name(place, place.rotated(--free));  // no rename goes over a file
    for (; free > 1 && !ec; --free) ec = rename_in(place, place.rotated(free - 1), place.rotated(free));
}

/// Gives the file the name path.1; whether it has its own name too.
inline bool name_first(const LogFileParts& log, error_code& ec) {
    const LogPlace& place = log.place;
    ec = link_in(place, place.name, place.rotated(1));
    if (!ec || ec == boost::system::errc::file_exists) return !ec;
    // Where there are no links, for an instant there is no file at the path.
    struct ::stat named {};
    const bool ours = look(place, place.name, named) && log_status_of(named).identity == log.identity;
    if (ours) ec = rename_in(place, place.name, place.rotated(1));
    return false;
}

inline void LogFile::rotate(std::size_t kept_files, std::uint64_t keep_bytes, std::string_view text,
                            std::uint64_t offset, error_code& ec) {
    const LogPlace& place = parts_.place;
    const std::string first = place.rotated(1);
    UniqueFd fd = write_temporary(parts_, text, offset, ec);
    if (ec) return;
    make_room(place, kept_files, ec);
    const bool linked = !ec && name_first(parts_, ec);
    if (!ec) {
        ec = exchange_names(place, place.temporary, place.name);
        if (ec && linked) (void)remove_name(place, first);
        else if (ec) (void)rename_in(place, first, place.name);
    }
    // Should this fail, the new file repeats the unfinished line; that is all.
    if (!ec && parts_.size > keep_bytes) (void)set_size(parts_.handle.get(), keep_bytes);
    (void)remove_name(place, place.temporary);
    if (!ec) adopt(std::move(fd), text.size(), {parts_.mark.stream, offset});
}

}  // namespace warden::detail
#endif
