// SPDX-License-Identifier: MIT
#include <support/handshake.hpp>

#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace support {

Handshake::Handshake(std::filesystem::path path) : path_(std::move(path)) {
    if (::mkfifo(path_.c_str(), 0600) == 0) ::chmod(path_.c_str(), 0666);  // a child may run as another user
    fd_ = ::open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);          // for writing too: it never reads as ended
    if (fd_ < 0) throw std::system_error(errno, std::generic_category(), path_);
}

Handshake::~Handshake() {
    ::close(fd_);
    ::unlink(path_.c_str());
}

std::optional<std::string> Handshake::line(std::chrono::milliseconds patience) {
    const auto end = std::chrono::steady_clock::now() + patience;
    for (;;) {
        if (const auto at = text_.find('\n'); at != std::string::npos) {
            std::string found = text_.substr(0, at);
            text_.erase(0, at + 1);
            return found;
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        struct pollfd ready {
            fd_, POLLIN, 0
        };
        if (left.count() < 0 || ::poll(&ready, 1, static_cast<int>(left.count()) + 1) == 0) return std::nullopt;
        char buffer[4096];
        const ssize_t size = ::read(fd_, buffer, sizeof buffer);
        if (size > 0) text_.append(buffer, static_cast<std::size_t>(size));
    }
}

pid_t Handshake::pid(std::chrono::milliseconds patience) {
    const auto announced = line(patience);
    const auto space = announced ? announced->find(' ') : std::string::npos;
    return space == std::string::npos ? 0 : static_cast<pid_t>(std::atoi(announced->c_str() + space + 1));
}

}  // namespace support
