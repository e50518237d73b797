// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Receives notices of one process by an abstract Unix socket, from members of its tree only.
///
/// Knows:         datagrams with the credentials of their sender; descriptors that come with them are closed, for which
///                a sender of BARRIER=1 waits.
/// Does not know: what follows from a notice.
/// Thread-safety: on the loop only.
/// Errors:        an `error_code` when it is opened. A message that is refused is an event, up to `max_reports` times.

#include <warden/detail/supervision/notify_source.hpp>
#include <warden/detail/system/random_uuid.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>
#include <warden/error.hpp>

#if WARDEN_OS_LINUX
#include <warden/detail/engine/engine.hpp>
#include <warden/detail/system/descriptor_watch.hpp>

#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace warden::detail {

class NotifyListener final : public NotifySource, public std::enable_shared_from_this<NotifyListener> {
public:
    static constexpr std::size_t max_message = 4096;  // bytes
    static constexpr int max_at_once = 64;            // messages, before others have their turn
    static constexpr int max_reports = 10;

    NotifyListener(std::shared_ptr<Services> services, UniqueFd socket)
        : services_(std::move(services)),
          socket_(std::move(socket)),
          watch_(std::make_shared<DescriptorWatch>(services_->loop.context())) {}
    /// In a forked copy of the program the watch is that of the original.
    ~NotifyListener() override {
        if (services_->is_owner()) return;
        leave_to_owner(std::move(watch_));
        leave_to_owner(std::move(record_));
        leave_to_owner(std::move(services_));
    }

    void open(const void* owner, std::shared_ptr<ProcessRecord> record, Take take) override;
    void close(const void* owner) override;

private:
    void wait();
    void read_all();
    /// Nothing if there is no more; else the message, and who sent it.
    [[nodiscard]] bool read_one(std::string& message, Pid& sender) const;
    void take_in(const std::string& message, Pid sender);
    void refuse(const std::string& why);

    std::shared_ptr<Services> services_;
    const UniqueFd socket_;
    std::shared_ptr<DescriptorWatch> watch_;
    const void* owner_ = nullptr;
    std::shared_ptr<ProcessRecord> record_;
    std::shared_ptr<Take> take_;
    int reports_ = 0;
};

// -- implementation ----------------------------------------------------------

/// `address` becomes what NOTIFY_SOCKET is set to.
[[nodiscard]] inline std::shared_ptr<NotifySource> open_notify_listener(const std::shared_ptr<Engine>& engine,
                                                                        std::string& address, error_code& ec) {
    address = "@warden/" + to_string(new_uuid());
    sockaddr_un place{};
    place.sun_family = AF_UNIX;
    std::memcpy(place.sun_path + 1, address.data() + 1, address.size() - 1);  // the first byte is NUL
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size());
    UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&place), size) != 0) {
        ec = system_code(errno);
        return nullptr;
    }
    return std::make_shared<NotifyListener>(engine->services, std::move(socket));
}

inline void NotifyListener::open(const void* owner, std::shared_ptr<ProcessRecord> record, Take take) {
    close(owner_);
    owner_ = owner;
    record_ = std::move(record);
    take_ = std::make_shared<Take>(std::move(take));
    if (const error_code ec = watch_->borrow(socket_.get())) return refuse("it cannot be watched: " + ec.message());
    wait();
}

inline void NotifyListener::close(const void* owner) {
    if (owner != owner_) return;
    watch_->close();
    take_.reset();
    record_.reset();
}

inline void NotifyListener::wait() {
    watch_->wait_readable([weak = weak_from_this()](const error_code& ec) {
        const auto self = weak.lock();
        if (!ec && self && self->take_) self->read_all();
    });
}

inline void NotifyListener::read_all() {
    std::string message;
    for (int i = 0; i < max_at_once && take_; ++i) {
        Pid sender = 0;
        if (!read_one(message, sender)) break;
        take_in(message, sender);
    }
    if (take_) wait();
}

inline bool NotifyListener::read_one(std::string& message, Pid& sender) const {
    constexpr std::size_t max_descriptors = 253;  // SCM_MAX_FD
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(sizeof(int) * max_descriptors)> control{};
    message.resize(max_message);
    iovec part{message.data(), message.size()};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const ssize_t size = ::recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
    if (size < 0) return false;
    message.resize((header.msg_flags & MSG_TRUNC) != 0 ? 0 : static_cast<std::size_t>(size));
    for (cmsghdr* at = CMSG_FIRSTHDR(&header); at; at = CMSG_NXTHDR(&header, at)) {
        if (at->cmsg_level != SOL_SOCKET) continue;
        if (at->cmsg_type == SCM_CREDENTIALS) {
            ucred credentials{};
            std::memcpy(&credentials, CMSG_DATA(at), sizeof credentials);
            sender = static_cast<Pid>(credentials.pid);
        }
        if (at->cmsg_type != SCM_RIGHTS) continue;
        for (std::size_t used = CMSG_LEN(0); used + sizeof(int) <= at->cmsg_len; used += sizeof(int)) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(at) + (used - CMSG_LEN(0)), sizeof descriptor);
            UniqueFd(descriptor).reset();
        }
    }
    return true;
}

inline void NotifyListener::take_in(const std::string& message, Pid sender) {
    error_code unlisted;
    const auto members = record_->control.members(unlisted);
    const auto is_member = [&](Pid pid) { return std::find(members.begin(), members.end(), pid) != members.end(); };
    if (!is_member(sender)) return refuse("pid " + std::to_string(sender) + ", which is not of its tree, spoke for it");
    Notice notice = parse_notice(message);
    if (notice.main_pid && !is_member(*notice.main_pid))
        refuse("it says MAINPID=" + std::to_string(*notice.main_pid) + ", which is not of its tree");
    const auto take = take_;  // it may close this
    (*take)(notice);
}

inline void NotifyListener::refuse(const std::string& why) {
    if (reports_ == max_reports) return;
    ++reports_;
    services_->metrics.alerted();
    Event refused = record_->event(EventKind::alert);
    refused.message = "a message on the notification socket is refused: " + why;
    refused.attributes = {{"warden.alert.rule", std::string("notification socket")}};
    services_->emit(std::move(refused));
}

}  // namespace warden::detail
#endif
