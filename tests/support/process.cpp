// SPDX-License-Identifier: MIT
#include <support/process.hpp>

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <sstream>
#include <string_view>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace support {
namespace {

/// What follows the name in /proc/<pid>/stat: "S 1 ..."
std::string after_name(pid_t pid) {
    const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat");
    const auto at = text.rfind(") ");
    return at == std::string::npos ? std::string{} : text.substr(at + 2);
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
    std::string text;
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    char buffer[4096];
    for (ssize_t size = 0; fd >= 0 && (size = ::read(fd, buffer, sizeof buffer)) > 0;) {
        text.append(buffer, static_cast<std::size_t>(size));
    }
    if (fd >= 0) ::close(fd);
    return text;
}

char process_state(pid_t pid) {
    const std::string text = after_name(pid);
    return text.empty() ? '\0' : text.front();
}

pid_t parent_of(pid_t pid) {
    const std::string text = after_name(pid);
    return text.empty() ? 0 : static_cast<pid_t>(std::atoi(text.c_str() + 2));
}

bool is_alive(pid_t pid) {
    std::istringstream fields(after_name(pid));
    std::vector<std::string> values{std::istream_iterator<std::string>(fields), {}};
    if (values.size() < 18 || values[0] == "X") return false;
    return values[0] != "Z" || std::atoi(values[17].c_str()) > 1;  // others may run after the first thread's end
}

std::string describe_process(pid_t pid) {
    std::string words = read_file("/proc/" + std::to_string(pid) + "/cmdline");
    for (char& c : words) {
        if (c == '\0') c = ' ';
    }
    if (words.empty()) {
        words = '[' + read_file("/proc/" + std::to_string(pid) + "/comm");
        if (words.back() == '\n') words.pop_back();
        words += ']';
    }
    return std::string(1, process_state(pid)) + ", parent " + std::to_string(parent_of(pid)) + ": " + words;
}

std::string own_control_group() {
    const std::string groups = read_file("/proc/self/cgroup");
    const auto own = groups.rfind("0::/");
    const std::string mounts = read_file("/proc/self/mountinfo");
    const auto separator = mounts.find(" - cgroup2 ");
    if (own == std::string::npos || separator == std::string::npos) return {};
    std::size_t at = mounts.rfind('\n', separator) + 1;
    for (int field = 0; field < 4; ++field) at = mounts.find(' ', at) + 1;
    const std::string mount = mounts.substr(at, mounts.find(' ', at) - at);
    const std::string path = groups.substr(own + 3, groups.find('\n', own) - own - 3);
    return path == "/" ? mount : mount + path;
}

std::string control_group_of(const std::string& name) {
    const std::string own = own_control_group();
    std::error_code failed;
    if (own.empty()) return {};
    for (const auto& entry : std::filesystem::directory_iterator(own, failed)) {
        if (entry.path().filename().string().rfind(name, 0) == 0) return entry.path().string();
    }
    return {};
}

}  // namespace support
