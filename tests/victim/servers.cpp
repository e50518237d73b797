// SPDX-License-Identifier: MIT
// Servers, good and bad, on the loopback of IPv4 or on a Unix socket.
//
//     listen PORT            never accepts
//     hang PORT              accepts, and never answers
//     answer PORT TEXT       reads a request and answers with the text
//     trickle PORT           answers a byte at a time, for ever
//     flood PORT             answers with a body without end
//     PORT: a number, 0 for any; or the path of a Unix socket; or fd:N for a descriptor that listens already

#include "servers.hpp"

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

int listen_at(const std::string& place, std::string& said) {
    if (place.starts_with("fd:")) {
        said = "listening";
        return std::atoi(place.c_str() + 3);
    }
    if (place.find('/') != std::string::npos) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, place.c_str(), sizeof address.sun_path - 1);
        const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        said = "listening";
        if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return -1;
        return ::listen(fd, 16) == 0 ? fd : -1;
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(place.c_str())));
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return -1;
    socklen_t size = sizeof address;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    said = "port " + std::to_string(ntohs(address.sin_port));
    return ::listen(fd, 16) == 0 ? fd : -1;
}

bool send_all(int fd, const std::string& text) {
    for (std::size_t at = 0; at < text.size();) {
        const ssize_t size = ::send(fd, text.data() + at, text.size() - at, MSG_NOSIGNAL);
        if (size < 0) return false;
        at += static_cast<std::size_t>(size);
    }
    return true;
}

void read_request(int fd) {
    std::string text;
    char block[512];
    while (text.find("\r\n\r\n") == std::string::npos) {
        const ssize_t size = ::recv(fd, block, sizeof block, 0);
        if (size <= 0) return;
        text.append(block, static_cast<std::size_t>(size));
    }
}

void answer(int fd, const std::string& how, const std::string& text) {
    const std::string head = "HTTP/1.1 200 OK\r\n";
    read_request(fd);
    if (how == "answer") {
        send_all(fd, text);
    } else if (how == "trickle") {
        for (bool reads = send_all(fd, head); reads; reads = send_all(fd, "X-Slow: yes\r\n")) ::poll(nullptr, 0, 20);
    } else if (how == "flood") {
        const std::string block(std::size_t{1} << 16, 'x');
        for (bool reads = send_all(fd, head + "\r\n"); reads;) reads = send_all(fd, block);
    }
}

}  // namespace

int serve(const std::vector<std::string>& arguments, const std::function<void(const std::string&)>& announce) {
    if (arguments.size() < 2) return 64;
    const std::string& how = arguments[0];
    std::string said;
    const int listener = listen_at(arguments[1], said);
    if (listener < 0) return 71;
    announce(said);
    if (how == "listen") {
        for (;;) ::pause();
    }
    for (;;) {
        const int fd = ::accept(listener, nullptr, nullptr);
        if (fd < 0) return 71;
        if (how == "hang") continue;  // and keeps it
        answer(fd, how, arguments.size() > 2 ? arguments[2] : std::string());
        ::close(fd);
    }
}

bool notify(const std::vector<std::string>& messages) {
    const char* const name = std::getenv("NOTIFY_SOCKET");
    if (!name) return false;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, name, sizeof address.sun_path - 1);
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(name));
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool sent = fd >= 0;
    for (const std::string& message : messages) {
        sent = sent &&
               ::sendto(fd, message.data(), message.size(), 0, reinterpret_cast<const sockaddr*>(&address), size) >= 0;
    }
    ::close(fd);
    return sent;
}
