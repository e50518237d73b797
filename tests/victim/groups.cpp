// SPDX-License-Identifier: MIT
#include "groups.hpp"

#include <cstdio>
#include <fstream>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

/// The directory of the control group v2 that this process is in.
std::string own_group() {
    std::string path;
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        if (line.rfind("0::", 0) == 0) path = line.substr(3);
    }
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
        if (line.find(" - cgroup2 ") == std::string::npos) continue;
        std::size_t begin = 0;
        for (int field = 0; field < 4; ++field) begin = line.find(' ', begin) + 1;
        return line.substr(begin, line.find(' ', begin) - begin) + path;
    }
    return {};
}

bool put(const std::string& file, const char* text) {
    const int fd = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
    const bool done = fd >= 0 && ::write(fd, text, std::string(text).size()) > 0;
    if (fd >= 0) ::close(fd);
    return done;
}

std::string above(const std::string& path) { return path.substr(0, path.rfind('/')); }

bool enter_new_group(const std::string& path) {
    return ::mkdir(path.c_str(), 0755) == 0 && put(path + "/cgroup.procs", "0");
}

bool take_rights(const std::string& group) {
    bool all = true;
    for (const char* file : {"cgroup.kill", "cgroup.procs", "cgroup.threads", "cgroup.events", "cgroup.freeze"})
        all = ::chmod((group + '/' + file).c_str(), 0) == 0 && all;
    return ::chmod(group.c_str(), 0) == 0 && all;
}

/// Makes so many groups, each in the one before, and enters the last.
bool nest(int depth) {
    const int start = ::open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool all = ::chdir(own_group().c_str()) == 0;
    for (int i = 0; i < depth; ++i) all = all && ::mkdir("n", 0755) == 0 && ::chdir("n") == 0;
    all = all && put("cgroup.procs", "0");
    return ::fchdir(start) == 0 && all;
}

}  // namespace

bool misuse_own_group(const std::string& how) {
    const std::string own = own_group();
    if (how == "rights") return take_rights(own) && take_rights(above(own));
    if (how == "threaded")  // which only a group without members in the groups beside it can become
        return leave_groups() && put(own + "/cgroup.type", "threaded") && put(own + "/cgroup.procs", "0");
    if (how == "threaded-below")
        return ::mkdir((own + "/t").c_str(), 0755) == 0 && put(own + "/t/cgroup.type", "threaded") &&
               put(own + "/t/cgroup.procs", "0");
    if (how == "nested") return nest(40);
    if (how == "deep") return nest(600);
    if (how == "unit") return enter_new_group(own + "/x.scope");
    return false;
}

bool misuse_other_groups(const std::string& how) {
    const std::string own = own_group();
    const std::string home = above(own);
    if (how == "freeze-all") return put(home + "/cgroup.freeze", "1");
    if (how == "names") {
        for (int i = 0; i < 300; ++i) ::mkdir((home + '/' + std::to_string(i)).c_str(), 0755);
        return true;
    }
    DIR* const listing = ::opendir(home.c_str());
    if (!listing) return false;
    int done = 0;
    while (const dirent* entry = ::readdir(listing)) {
        const std::string path = home + '/' + entry->d_name;
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.' || path == own) continue;
        if (how == "freeze") done += put(path + "/cgroup.freeze", "1");
        if (how == "kill") done += put(path + "/cgroup.kill", "1");
        if (how == "remove") done += ::rmdir(path.c_str()) == 0;
        if (how == "limit") done += put(path + "/cgroup.max.descendants", "0");
    }
    ::closedir(listing);
    return done > 0;
}

bool leave_groups() { return put(above(above(own_group())) + "/cgroup.procs", "0"); }
