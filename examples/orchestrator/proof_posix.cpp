// SPDX-License-Identifier: MIT
#include "proof.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace proof {
namespace {

namespace fs = std::filesystem;

std::string content(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<Process> all() {
    std::vector<Process> found;
    for (const fs::directory_entry& entry : fs::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        int pid = 0;
        const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (failed != std::errc{} || end != name.data() + name.size()) continue;
        if (Process process = look_at(pid); process.pid != 0) found.push_back(std::move(process));
    }
    return found;
}

bool is_below(const std::vector<Process>& processes, const Process& process, int ancestor) {
    for (int at = process.parent; at > 1;) {
        if (at == ancestor) return true;
        const auto parent =
            std::find_if(processes.begin(), processes.end(), [&](const Process& p) { return p.pid == at; });
        if (parent == processes.end()) return false;
        at = parent->parent;
    }
    return false;
}

}  // namespace

constexpr std::string_view scan_name = "a scan of /proc", marked_name = "processes with our mark";

Process look_at(int pid) {
    const std::string directory = "/proc/" + std::to_string(pid) + '/';
    const std::string stat = content(directory + "stat");
    const auto name_end = stat.rfind(')');  // the name itself may hold anything
    if (name_end == stat.npos) return {};
    Process process;
    process.pid = pid;
    std::istringstream fields(stat.substr(name_end + 1));
    std::string skipped;
    int group = 0;
    fields >> process.state >> process.parent >> group >> process.session;
    for (int field = 7; field < 22; ++field) fields >> skipped;
    fields >> process.started;
    process.command = content(directory + "cmdline");
    std::replace(process.command.begin(), process.command.end(), '\0', ' ');
    return process;
}

std::vector<Process> marked(const std::string& marker) {
    std::vector<Process> found = all();
    std::erase_if(found, [&](const Process& process) {
        const bool has_marker =
            process.command.find(marker) != std::string::npos ||
            content("/proc/" + std::to_string(process.pid) + "/environ").find(marker) != std::string::npos;
        return process.pid == ::getpid() || !has_marker;
    });
    return found;
}

std::vector<Process> descendants() {
    const std::vector<Process> processes = all();
    std::vector<Process> found;
    std::copy_if(processes.begin(), processes.end(), std::back_inserter(found),
                 [&](const Process& process) { return is_below(processes, process, ::getpid()); });
    return found;
}

std::vector<Process> left_of(const std::vector<Process>& processes) {
    std::vector<Process> left;
    std::copy_if(processes.begin(), processes.end(), std::back_inserter(left), [](const Process& process) {
        const Process now = look_at(process.pid);
        // What was orphaned by a crash is reaped by the system's first process, in its own time.
        return now == process && (now.state != 'Z' || now.parent == ::getpid());
    });
    return left;
}

bool has_left(const Process& grandchild, int leader) {
    return grandchild.pid != 0 && grandchild.session != leader && grandchild.parent != leader;
}

std::string place_of(const Process& grandchild) {
    return "session " + std::to_string(grandchild.session) + ", parent " + std::to_string(grandchild.parent);
}

Watch::Watch(const std::vector<Process>& processes) {
    for (const Process& process : processes) {
        held_.push_back(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
    }
}

Watch::~Watch() {
    for (const std::intptr_t pidfd : held_) {
        if (pidfd >= 0) ::close(static_cast<int>(pidfd));
    }
}

bool Watch::wait_for_end(std::chrono::milliseconds patience) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (const std::intptr_t pidfd : held_) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd ended{static_cast<int>(pidfd), POLLIN, 0};  // a pidfd is readable when its process has ended
        if (pidfd >= 0 && ::poll(&ended, 1, std::max(0, static_cast<int>(left.count()))) != 1) return false;
    }
    return true;
}

std::optional<std::vector<std::string>> control_groups(const std::string& text) {
    std::vector<std::string> found;
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
        if (line.find(" - cgroup2 ") == std::string::npos) continue;
        std::istringstream fields(line);
        std::string mount;
        for (int field = 0; field < 5; ++field) fields >> mount;
        std::error_code ignored;
        auto at = fs::recursive_directory_iterator(mount, fs::directory_options::skip_permission_denied, ignored);
        for (; at != fs::recursive_directory_iterator(); at.increment(ignored)) {
            const bool is_group = at->is_directory(ignored);
            if (is_group && at->path().filename().string().find(text) != std::string::npos) found.push_back(at->path());
        }
    }
    return found;
}

bool answers(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return connected;
}

}  // namespace proof
