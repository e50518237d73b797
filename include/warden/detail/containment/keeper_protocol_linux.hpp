// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What the host, the guardian and the keepers say to each other: fixed records over SOCK_SEQPACKET, descriptors beside
/// them by SCM_RIGHTS. All three are forks of one program, so the records never meet another version of themselves.
///
/// Thread-safety: one reader and one writer at an end at a time.
/// Allocates:     never. Async-signal-safe throughout.

#include <warden/detail/launch/child_linux.hpp>

#if WARDEN_OS_LINUX
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

namespace warden::detail {

/// The exit code of a keeper that could not tell the host of something; nothing is left of its tree.
inline constexpr int keeper_unheard = 2;

/// Host to guardian.
enum class GuardianCommand : std::uint32_t { make_keeper = 1, quit };

/// Guardian to host: a keeper was made, with its socket beside this; `pid` is negative (an errno) if there is none. Or:
/// the keeper `pid` was killed or not heard, and nothing of its tree is left.
struct KeeperReady {
    std::int32_t pid;
    std::uint32_t tree_ended;
};

/// Host to keeper without a tree. Three descriptors for the standard streams and one for the
/// directory to start in come beside it, then one of a memfd that holds the text, if that does not fit behind it. The
/// text: supplementary groups; then, each ended by NUL, candidates, arguments, variables and the directory.
struct LaunchRequest {
    ChildPlan plan;                                          ///< Its pointers mean nothing here, but for null or not.
    struct rlimit inherited[RLIM_NLIMITS];                   ///< Limits of the host that the keeper does not have.
    std::uint32_t inherited_mask;                            ///< Bit n for limit n.
    unsigned long processors[1024 / sizeof(unsigned long)];  ///< As far as `plan.processors_bytes` says.
    std::uint32_t text_bytes;
    std::uint32_t in_memory_file;
    std::uint32_t candidate_count;
    std::uint32_t argument_count;
    std::uint32_t variable_count;
};
inline constexpr std::size_t inline_text_bytes = std::size_t{60} * 1024;

/// Keeper to host: how the launch went, with the leader's pidfd beside it if it went well.
struct LaunchReply {
    ChildAnswer answer;
    std::int32_t pid;
};

/// Host to keeper with a tree. Shutting down the socket means `empty`. Shorter than a request, so that they are told
/// apart.
struct KeeperCommand {
    enum Kind : std::uint32_t { signal_tree = 1, signal_leader, empty } kind;
    std::int32_t signal;
};

/// Keeper to host: the leader has ended, nothing of the tree is left and the keeper is ready again, or both at once.
struct KeeperEvent {
    std::uint32_t leader_ended;
    std::uint32_t tree_empty;
    std::int32_t wait_status;
    struct rusage usage;
};

static_assert(sizeof(KeeperCommand) < sizeof(LaunchRequest));

/// Sends one record with descriptors beside it. Never waits. A negative errno on failure: -EAGAIN if there is no room.
WARDEN_IN_CHILD inline long send_record(int socket, const void* first, std::size_t first_bytes, const void* second,
                                        std::size_t second_bytes, const int* fds, std::size_t fd_count) noexcept;

/// Receives one record; descriptors beside it are close-on-exec and number at most 8. Never waits. Its size, 0 for the
/// end, or a negative errno: -EAGAIN if there is none yet.
WARDEN_IN_CHILD inline long receive_record(int socket, void* first, std::size_t first_bytes, void* second,
                                           std::size_t second_bytes, int* fds, std::size_t& fd_count) noexcept;

// -- implementation ----------------------------------------------------------

inline constexpr std::size_t descriptors_beside = 8;

WARDEN_IN_CHILD inline long send_record(int socket, const void* first, std::size_t first_bytes, const void* second,
                                        std::size_t second_bytes, const int* fds, std::size_t fd_count) noexcept {
    struct iovec parts[2] = {{const_cast<void*>(first), first_bytes}, {const_cast<void*>(second), second_bytes}};
    alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int) * descriptors_beside)]{};  // musl writes half of a length
    struct msghdr message {};
    message.msg_iov = parts;
    message.msg_iovlen = second_bytes > 0 ? 2 : 1;
    if (fd_count > 0) {
        message.msg_control = space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        int* to = reinterpret_cast<int*>(CMSG_DATA(header));
        for (std::size_t i = 0; i < fd_count; ++i) to[i] = fds[i];
    }
    for (;;) {
        const long sent = raw(SYS_sendmsg, socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent != -EINTR) return sent;
    }
}

WARDEN_IN_CHILD inline long receive_record(int socket, void* first, std::size_t first_bytes, void* second,
                                           std::size_t second_bytes, int* fds, std::size_t& fd_count) noexcept {
    struct iovec parts[2] = {{first, first_bytes}, {second, second_bytes}};
    alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int) * descriptors_beside)];
    struct msghdr message {};
    message.msg_iov = parts;
    message.msg_iovlen = second_bytes > 0 ? 2 : 1;
    message.msg_control = space;
    message.msg_controllen = sizeof space;
    fd_count = 0;
    long size = -EINTR;
    while (size == -EINTR) size = raw(SYS_recvmsg, socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0) return size;
    const struct cmsghdr* const header = CMSG_FIRSTHDR(&message);  // all descriptors are in one
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        const int* from = reinterpret_cast<const int*>(CMSG_DATA(header));
        fd_count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < fd_count; ++i) fds[i] = from[i];
    }
    return size;
}

}  // namespace warden::detail
#endif
