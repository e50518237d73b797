// SPDX-License-Identifier: MIT
#include <support/process.hpp>
#include <support/run_directory.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace support {
namespace {

constexpr std::string_view beginning = "warden-tests-";
constexpr std::size_t random_letters = 6;
constexpr std::size_t max_names = 100'000;

/// The pid in the name of a run's directory; 0 if it is none.
pid_t owner_of(std::string_view name) {
    pid_t pid = 0;
    if (!name.starts_with(beginning)) return 0;
    name.remove_prefix(beginning.size());
    const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), pid);
    const std::string_view rest = name.substr(static_cast<std::size_t>(end - name.data()));
    const bool good = failed == std::errc{} && pid > 0 && rest.size() == 1 + random_letters && rest.front() == '-';
    return good ? pid : 0;
}

bool has_mounts(const std::filesystem::path& directory) {
    const std::string below = ' ' + directory.string() + '/';
    return read_file("/proc/self/mountinfo").find(below) != std::string::npos;
}

bool remove_if_dead(const std::filesystem::path& directory) {
    const pid_t owner = owner_of(directory.filename().string());
    if (owner == 0 || ::kill(owner, 0) == 0 || errno != ESRCH) return false;
    const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return false;
    struct stat status {};
    std::error_code ec;
    const bool dead = ::fstat(fd, &status) == 0 && status.st_uid == ::geteuid() &&
                      ::flock(fd, LOCK_EX | LOCK_NB) == 0 && !has_mounts(directory);
    if (dead) std::filesystem::remove_all(directory, ec);
    ::close(fd);
    return dead && !ec;
}

}  // namespace

RunDirectory::RunDirectory(const std::filesystem::path& above) {
    std::string name =
        (above / beginning).string() + std::to_string(::getpid()) + '-' + std::string(random_letters, 'X');
    if (!::mkdtemp(name.data())) throw std::system_error(errno, std::generic_category(), name);
    path_ = name;
    lock_ = ::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock_ < 0 || ::flock(lock_, LOCK_EX | LOCK_NB) != 0 || ::chmod(name.c_str(), 0755) != 0)
        throw std::system_error(errno, std::generic_category(), name);
}

RunDirectory::~RunDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
    ::close(lock_);
}

std::size_t remove_dead_runs(const std::filesystem::path& above, std::size_t most) {
    std::size_t removed = 0;
    std::size_t names = 0;
    std::error_code ec;
    for (std::filesystem::directory_iterator entry(above, ec), end; !ec && entry != end; entry.increment(ec)) {
        if (++names > max_names || removed == most) break;
        removed += remove_if_dead(entry->path());
    }
    return removed;
}

}  // namespace support
