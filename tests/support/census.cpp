// SPDX-License-Identifier: MIT
#include <support/census.hpp>
#include <support/process.hpp>
#include <warden/platform.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>

#include <dirent.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace support {
namespace {

constexpr std::pair<int, const char*> watched_signals[] = {{SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"},
                                                           {SIGHUP, "SIGHUP"},   {SIGCHLD, "SIGCHLD"},
                                                           {SIGPIPE, "SIGPIPE"}, {SIGXFSZ, "SIGXFSZ"}};

std::set<std::string>& known_groups() {
    static std::set<std::string> names;
    return names;
}
std::size_t reaped = 0;

template <class F>
void for_each_number(const char* directory, F f) {
    DIR* const listing = ::opendir(directory);
    if (!listing) return;
    while (const dirent* entry = ::readdir(listing)) {
        const int number = std::atoi(entry->d_name);
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && number != ::dirfd(listing)) f(number);
    }
    ::closedir(listing);
}

std::string link_target(const std::string& path) {
    char target[4096] = {};
    return ::readlink(path.c_str(), target, sizeof target - 1) < 0 ? "?" : target;
}

std::map<pid_t, std::string> running_threads() {
    std::map<pid_t, std::string> found;
    DIR* const listing = ::opendir("/proc/self/task");
    if (!listing) return found;
    while (const dirent* entry = ::readdir(listing)) {
        if (entry->d_name[0] == '.') continue;
        std::string name = read_file("/proc/self/task/" + std::string(entry->d_name) + "/comm");
        if (!name.empty()) name.pop_back();
        found.emplace(std::atoi(entry->d_name), name);
    }
    ::closedir(listing);
    return found;
}

std::string disposition(const struct sigaction& action) {
    if (action.sa_handler == SIG_DFL) return "default";
    if (action.sa_handler == SIG_IGN) return "ignored";
    char text[32];
    std::snprintf(text, sizeof text, "handler %p", reinterpret_cast<void*>(action.sa_handler));
    return text;
}

std::vector<std::string> leftover_groups() {
    std::vector<std::string> found;
    for (const auto& name : known_groups()) {
        if (const std::string group = control_group_of(name); !group.empty()) found.push_back(group);
    }
    return found;
}

void reap_adopted_zombies() {
    for (const pid_t pid : descendants()) {
        if (process_state(pid) != 'Z' || parent_of(pid) != ::getpid()) continue;
        if (read_file("/proc/" + std::to_string(pid) + "/cgroup").find("/warden-") == std::string::npos) continue;
        if (::waitpid(pid, nullptr, WNOHANG | __WALL) == pid) ++reaped;
    }
}

template <class Key, class Value>
void compare(std::vector<std::string>& found, const char* what, const std::map<Key, Value>& before,
             const std::map<Key, Value>& after) {
    const auto shown = [](const Key& key, const Value& value) { return std::to_string(key) + " (" + value + ")"; };
    for (const auto& [key, value] : after) {
        const auto same = before.find(key);
        if (same == before.end()) found.push_back(std::string(what) + " left: " + shown(key, value));
        else if (same->second != value)
            found.push_back(std::string(what) + " changed: " + shown(key, same->second) + " is " + value);
    }
    for (const auto& [key, value] : before) {
        if (after.find(key) == after.end()) found.push_back(std::string(what) + " gone: " + shown(key, value));
    }
}

}  // namespace

std::map<int, std::string> open_descriptors() {
    std::map<int, std::string> found;
    for_each_number("/proc/self/fd",
                    [&](int fd) { found.emplace(fd, link_target("/proc/self/fd/" + std::to_string(fd))); });
    return found;
}

std::vector<pid_t> descendants() {
    std::vector<pid_t> found{::getpid()};
    for (std::size_t i = 0; i < found.size(); ++i) {
        const std::string tasks = "/proc/" + std::to_string(found[i]) + "/task";
        for_each_number(tasks.c_str(), [&](int task) {
            const std::string text = read_file(tasks + '/' + std::to_string(task) + "/children");
            for (const char* at = text.c_str(); *at;) {
                char* end = nullptr;
                const auto pid = static_cast<pid_t>(std::strtol(at, &end, 10));
                if (end == at) break;
                if (std::find(found.begin(), found.end(), pid) == found.end()) found.push_back(pid);
                at = end + (*end == ' ');
            }
        });
    }
    found.erase(found.begin());
    return found;
}

Census take_census() {
    Census now;
    reap_adopted_zombies();
    for (const pid_t pid : descendants()) now.descendants.emplace(pid, describe_process(pid));
    for (const auto& [signal, name] : watched_signals) {
        struct sigaction action {};
        ::sigaction(signal, nullptr, &action);
        now.signals.emplace(signal, std::pair(std::string(name) + " " + disposition(action),
                                              action.sa_flags & (SA_NOCLDSTOP | SA_NOCLDWAIT)));
    }
    sigset_t mask;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    for (int signal = 1; signal <= 64; ++signal) {
        if (::sigismember(&mask, signal) == 1) now.blocked_signals += ' ' + std::to_string(signal);
    }
    char path[4096];
    now.working_directory = ::getcwd(path, sizeof path) ? path : "?";
    now.umask = ::umask(0);
    ::umask(now.umask);
    std::error_code ignored;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(std::filesystem::temp_directory_path(), ignored)) {
        now.files.push_back(entry.path().string());
    }
    std::sort(now.files.begin(), now.files.end());
    now.control_groups = leftover_groups();
    now.threads = running_threads();
    now.descriptors = open_descriptors();
    return now;
}

std::vector<std::string> differences_since(const Census& before) {
    Census now = take_census();
    // The thread sanitizer starts a thread of its own with the program's first; it stays.
    const std::size_t sanitizer_threads = WARDEN_HAS_TSAN && before.threads.size() == 1 ? 1 : 0;
    const std::size_t most = before.threads.size() + sanitizer_threads;
    for (int patience_ms = 1; patience_ms <= 1024 && now.threads.size() > most; patience_ms *= 2) {
        ::poll(nullptr, 0, patience_ms);
        now.threads = running_threads();
    }
    std::vector<std::string> found;
    compare(found, "descriptor", before.descriptors, now.descriptors);
    if (now.threads.size() > most || sanitizer_threads == 0) compare(found, "thread", before.threads, now.threads);
    compare(found, "process", before.descendants, now.descendants);
    for (const auto& [signal, action] : now.signals) {
        const auto& former = before.signals.at(signal);
        if (former != action) found.push_back("signal changed: it was " + former.first + ", it is " + action.first);
    }
    if (before.blocked_signals != now.blocked_signals)
        found.push_back("blocked signals are now:" + now.blocked_signals);
    if (before.working_directory != now.working_directory)
        found.push_back("working directory is now " + now.working_directory);
    if (before.umask != now.umask) found.emplace_back("umask has changed");
    for (const auto& file : now.files) {
        if (!std::binary_search(before.files.begin(), before.files.end(), file)) found.push_back("file left: " + file);
    }
    for (const auto& group : now.control_groups) found.push_back("control group left: " + group);
    return found;
}

void become_subreaper() { ::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

void end_all_descendants() {
    for (int round = 0; round < 1000; ++round) {
        const auto left = descendants();
        for (const pid_t pid : left) ::kill(pid, SIGKILL);
        while (::waitpid(-1, nullptr, WNOHANG | __WALL) > 0) {}
        if (left.empty()) return;
        ::poll(nullptr, 0, 2);
    }
}

void expect_no_control_group(std::string name) { known_groups().insert(std::move(name)); }

std::size_t reaped_orphans() { return reaped; }

// -- the watchdog: signal handlers, so nothing but system calls, and backtrace(3) that has been loaded before
// ----------

namespace {

void say(const char* text) { static_cast<void>(!::write(STDERR_FILENO, text, std::strlen(text))); }

void say_file(const char* directory, const char* task, const char* name) {
    char path[128] = {};
    std::snprintf(path, sizeof path, "%s/%s/%s", directory, task, name);
    char text[1024];
    const int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t size = fd >= 0 ? ::read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0) ::close(fd);
    if (size <= 0) return;
    text[size] = '\0';
    say("  ");
    say(name);
    say(": ");
    say(text);
    if (text[size - 1] != '\n') say("\n");
}

void on_stack_wanted(int) {
    void* frames[64];
    ::backtrace_symbols_fd(frames, ::backtrace(frames, 64), STDERR_FILENO);
}

void on_time_over(int) {
    say("\nwatchdog: the time of this test is over; these are its threads:\n");
    const int listing = ::open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    alignas(8) char entries[4096];
    for (long size = 0; (size = ::syscall(SYS_getdents64, listing, entries, sizeof entries)) > 0;) {
        for (long at = 0; at < size;) {
            const char* entry = entries + at;
            const char* name = entry + 19;
            at += static_cast<unsigned char>(entry[16]) | static_cast<unsigned char>(entry[17]) << 8;
            if (name[0] == '.') continue;
            say("thread ");
            say(name);
            say("\n");
            for (const char* file : {"comm", "wchan", "syscall", "stat"}) say_file("/proc/self/task", name, file);
            ::syscall(SYS_tgkill, ::getpid(), std::atoi(name), SIGUSR2);
            ::poll(nullptr, 0, 300);
        }
    }
    std::abort();
}

}  // namespace

void watch(unsigned seconds) {
    static bool prepared = false;
    if (!prepared) {
        prepared = true;
        void* frame[1];
        static_cast<void>(::backtrace(frame, 1));  // loads what it needs now, not in the handler
        ::signal(SIGUSR2, on_stack_wanted);
        ::signal(SIGALRM, on_time_over);
    }
    ::alarm(seconds);
}

bool no_keepers_left_to_us() {
    bool any = false;
    for (const pid_t pid : descendants()) {
        if (read_file("/proc/" + std::to_string(pid) + "/comm") != "warden-keeper\n" || parent_of(pid) != ::getpid())
            continue;
        any = true;
        ::waitpid(pid, nullptr, WNOHANG);
    }
    return !any;
}

}  // namespace support
