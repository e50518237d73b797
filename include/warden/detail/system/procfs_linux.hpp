// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Reads what /proc says of processes: for listings and reports, never as a proof of who is who.
///
/// Knows:         proc(5); names may hold anything, so `stat` is parsed from its last ')'.
/// Thread-safety: safe. What vanishes while it is read is left out.
/// Errors:        absent values; an `error_code` where what is absent must not be taken for what is not there.

#include <warden/error.hpp>
#include <warden/fwd.hpp>
#include <warden/platform.hpp>
#include <warden/process_info.hpp>

#if WARDEN_OS_LINUX
#include <warden/detail/system/unique_fd_posix.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace warden::detail::procfs {

/// The parts of /proc/<pid>/stat that are used here.
struct Stat {
    Pid pid = 0;
    Pid parent = 0;
    Pid group = 0;
    Pid session = 0;
    char state = '?';
    std::string name;
    std::uint64_t major_faults = 0;
    std::uint64_t user_ticks = 0;
    std::uint64_t system_ticks = 0;
    std::uint64_t threads = 0;
    std::uint64_t start_ticks = 0;
    std::uint64_t resident_pages = 0;
};

/// A whole small file; empty if it cannot be read.
[[nodiscard]] inline std::string read_file(const std::string& path, std::size_t at_most = 1 << 16);
/// The rest of an open file; `ec` says whether it is all of it.
[[nodiscard]] inline std::string read_open(int file, std::size_t at_most, error_code& ec);
/// The same, by a path from the directory that `directory` is open on.
[[nodiscard]] inline std::string read_file_at(int directory, const char* path, std::size_t at_most = 1 << 16);

[[nodiscard]] inline std::optional<Stat> parse_stat(std::string_view text);
[[nodiscard]] inline std::optional<Stat> read_stat(Pid pid);

/// Whether the process has ended. One whose first thread has ended while others run shows Z too.
[[nodiscard]] inline bool has_ended(const Stat& stat) noexcept {
    return stat.state == 'X' || (stat.state == 'Z' && stat.threads <= 1);
}

/// The children of all threads of `pid`; none if it is gone. `ec` says why there may be more.
[[nodiscard]] inline std::vector<Pid> children(Pid pid, error_code& ec);

/// All descendants of `pid`, parents first. `ec` says why there may be more.
[[nodiscard]] inline std::vector<Pid> descendants(Pid pid, error_code& ec);

/// A process as a member of a tree; nothing if it is gone, or if `ec` says why it cannot be looked at.
[[nodiscard]] inline std::optional<TreeMember> member(Pid pid, error_code& ec);

/// The process of a thread; 0 if it is gone.
[[nodiscard]] inline Pid process_of(Pid thread);

/// Its control group v2, from the root of the hierarchy: the "0::" line of /proc/<pid>/cgroup. Empty if there is none.
[[nodiscard]] inline std::string control_group(Pid pid);

/// Who among `pids` has the pipe with inode `inode` open for writing; 0 if nobody that may be looked at.
[[nodiscard]] inline Pid pipe_writer(const std::vector<Pid>& pids, std::uint64_t inode);

/// Calls `each` with every name in a directory. Why it cannot be read, or not to its end.
template <class F>
inline error_code for_each_entry(const std::string& path, F each);
template <class F>
inline error_code for_each_entry(UniqueFd directory, F each);

/// Calls `each` with the pid of every process. Why /proc cannot be read, or that it hides processes (hidepid).
template <class F>
[[nodiscard]] inline error_code for_each_process(F each);

/// The number that `text` is; nothing if it is anything else.
template <class Number>
[[nodiscard]] inline std::optional<Number> to_number(std::string_view text) noexcept {
    Number value{};
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

// -- implementation ----------------------------------------------------------

inline std::string read_file(const std::string& path, std::size_t at_most) {
    return read_file_at(AT_FDCWD, path.c_str(), at_most);
}

inline std::string read_file_at(int directory, const char* path, std::size_t at_most) {
    const UniqueFd file(::openat(directory, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    error_code ignored;
    return file ? read_open(file.get(), at_most, ignored) : std::string();
}

inline std::string read_open(int file, std::size_t at_most, error_code& ec) {
    ec.clear();
    std::string text;
    char buffer[4096];
    while (text.size() < at_most) {
        const ssize_t size = ::read(file, buffer, sizeof buffer);
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) ec = system_code(errno);
        if (size <= 0) break;
        text.append(buffer, static_cast<std::size_t>(size));
    }
    return text;
}

template <class F>
inline error_code for_each_entry(const std::string& path, F each) {
    UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return directory ? for_each_entry(std::move(directory), std::move(each)) : system_code(errno);
}

template <class F>
inline error_code for_each_entry(UniqueFd directory, F each) {
    struct Close {
        void operator()(DIR* listing) const noexcept { ::closedir(listing); }
    };
    const std::unique_ptr<DIR, Close> listing(::fdopendir(directory.get()));
    if (!listing) return system_code(errno);
    static_cast<void>(directory.release());
    for (;;) {
        errno = 0;
        const dirent* const entry = ::readdir(listing.get());
        if (!entry) return errno == 0 ? error_code{} : system_code(errno);
        each(std::string_view(entry->d_name));
    }
}

template <class F>
inline error_code for_each_process(F each) {
    const error_code unreadable = for_each_entry("/proc", [&](std::string_view name) {
        if (const auto pid = to_number<Pid>(name)) each(*pid);
    });
    if (unreadable) return unreadable;
    return ::access("/proc/1", F_OK) == 0 ? error_code{} : system_code(EACCES);
}

inline std::optional<Stat> parse_stat(std::string_view text) {
    const auto open = text.find('(');
    const auto close = text.rfind(')');
    if (open == std::string_view::npos || close == std::string_view::npos || close < open || open < 2) return {};
    Stat stat;
    stat.pid = to_number<Pid>(text.substr(0, open - 1)).value_or(0);
    stat.name = text.substr(open + 1, close - open - 1);
    std::vector<std::string_view> fields;
    for (std::size_t at = close + 2; at < text.size() && fields.size() < 24;) {
        const auto end = std::min(text.find_first_of(" \n", at), text.size());
        fields.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    if (fields.size() < 22 || fields[0].size() != 1) return {};
    stat.state = fields[0][0];
    stat.parent = to_number<Pid>(fields[1]).value_or(0);
    stat.group = to_number<Pid>(fields[2]).value_or(0);
    stat.session = to_number<Pid>(fields[3]).value_or(0);
    stat.major_faults = to_number<std::uint64_t>(fields[9]).value_or(0);
    stat.user_ticks = to_number<std::uint64_t>(fields[11]).value_or(0);
    stat.system_ticks = to_number<std::uint64_t>(fields[12]).value_or(0);
    stat.threads = to_number<std::uint64_t>(fields[17]).value_or(0);
    stat.start_ticks = to_number<std::uint64_t>(fields[19]).value_or(0);
    stat.resident_pages = to_number<std::uint64_t>(fields[21]).value_or(0);
    return stat;
}

inline std::optional<Stat> read_stat(Pid pid) {
    return parse_stat(read_file("/proc/" + std::to_string(pid) + "/stat"));
}

/// Whether the kernel has that process; asked without /proc.
[[nodiscard]] inline bool exists(Pid pid) noexcept { return ::kill(pid, 0) == 0 || errno != ESRCH; }

/// Appends the numbers of one file of children. Why it cannot be read, or not to its end.
inline error_code append_children(const std::string& path, std::vector<Pid>& found) {
    constexpr std::size_t max_bytes = std::size_t{32} << 20;  // of as many processes as Linux can have
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return system_code(errno);
    error_code ec;
    const std::string text = read_open(file.get(), max_bytes, ec);
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find(' ', at), text.size());
        if (const auto child = to_number<Pid>(std::string_view(text).substr(at, end - at))) found.push_back(*child);
        at = end + 1;
    }
    return ec;
}

/// Whether `failed` says no more than that the process, or one of its threads, has ended.
[[nodiscard]] inline bool has_vanished(Pid pid, const std::string& tasks, const error_code& failed) {
    if (failed.value() != ENOENT && failed.value() != ESRCH) return false;
    if (!exists(pid)) return true;
    // It is there, but perhaps hidden from us (hidepid), or this kernel lists no children.
    return ::access(tasks.c_str(), F_OK) == 0 && ::access("/proc/thread-self/children", F_OK) == 0;
}

inline std::vector<Pid> children(Pid pid, error_code& ec) {
    std::vector<Pid> found;
    const std::string tasks = "/proc/" + std::to_string(pid) + "/task";
    struct stat status {};
    ec.clear();
    const auto look = [&](const error_code& failed) {
        if (failed && !has_vanished(pid, tasks, failed)) ec = failed;
    };
    if (::stat(tasks.c_str(), &status) == 0 && status.st_nlink == 3) {  // one thread, the usual case
        look(append_children(tasks + '/' + std::to_string(pid) + "/children", found));
        return found;
    }
    look(for_each_entry(tasks, [&](std::string_view thread) {
        if (!thread.empty() && thread[0] != '.')
            look(append_children(tasks + '/' + std::string(thread) + "/children", found));
    }));
    return found;
}

inline std::vector<Pid> descendants(Pid pid, error_code& ec) {
    std::vector<Pid> found = children(pid, ec);
    std::unordered_set<Pid> known(found.begin(), found.end());  // who changes its parent meanwhile is listed twice
    for (std::size_t i = 0; i < found.size(); ++i) {
        error_code failed;
        for (const Pid child : children(found[i], failed)) {
            if (known.insert(child).second) found.push_back(child);
        }
        if (failed) ec = failed;
    }
    return found;
}

inline std::optional<TreeMember> member(Pid pid, error_code& ec) {
    ec.clear();
    auto stat = read_stat(pid);
    if (!stat && exists(pid)) stat = read_stat(pid);  // one with that pid began meanwhile, or it cannot be read
    if (!stat) {
        if (exists(pid)) ec = system_code(EACCES);
        return std::nullopt;
    }
    TreeMember result;
    result.pid = pid;
    result.parent = stat->parent;
    result.state = stat->state == 'Z' && !has_ended(*stat) ? 'S' : stat->state;
    const auto ticks = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    result.user_time = std::chrono::milliseconds(stat->user_ticks * 1000 / ticks);
    result.system_time = std::chrono::milliseconds(stat->system_ticks * 1000 / ticks);
    result.major_faults = stat->major_faults;
    result.resident_bytes = stat->resident_pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const std::string directory = "/proc/" + std::to_string(pid);
    struct stat owner {};
    if (::stat(directory.c_str(), &owner) == 0) result.user = owner.st_uid;
    std::string arguments = read_file(directory + "/cmdline", 4096);
    while (!arguments.empty() && arguments.back() == '\0') arguments.pop_back();
    std::replace(arguments.begin(), arguments.end(), '\0', ' ');
    result.command = arguments.empty() ? '[' + stat->name + ']' : arguments;
    return result;
}

inline std::string control_group(Pid pid) {
    const std::string text = read_file("/proc/" + std::to_string(pid) + "/cgroup");
    const auto at = text.rfind("0::/");
    if (at == std::string::npos || (at > 0 && text[at - 1] != '\n')) return {};
    return text.substr(at + 3, text.find('\n', at) - at - 3);
}

inline Pid process_of(Pid thread) {
    const std::string text = read_file("/proc/" + std::to_string(thread) + "/status");
    const auto at = text.find("\nTgid:\t");
    if (at == std::string::npos) return 0;
    const std::string_view rest = std::string_view(text).substr(at + 7);
    return to_number<Pid>(rest.substr(0, rest.find('\n'))).value_or(0);
}

inline Pid pipe_writer(const std::vector<Pid>& pids, std::uint64_t inode) {
    const std::string wanted = "pipe:[" + std::to_string(inode) + ']';
    for (const Pid pid : pids) {
        const std::string directory = "/proc/" + std::to_string(pid) + "/fd";
        bool holds = false;
        for_each_entry(directory, [&](std::string_view name) {
            const std::string path = directory + '/' + std::string(name);
            char target[64];
            const ssize_t size = ::readlink(path.c_str(), target, sizeof target);
            struct stat link {};
            holds = holds || (size > 0 && std::string_view(target, static_cast<std::size_t>(size)) == wanted &&
                              ::lstat(path.c_str(), &link) == 0 && (link.st_mode & S_IWUSR) != 0);
        });
        if (holds) return pid;
    }
    return 0;
}

}  // namespace warden::detail::procfs
#endif
