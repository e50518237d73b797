// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Containment by a keeper per tree: the host's side of it.
///
/// Knows:         the socket to the keeper; what is below the keeper is the tree.
/// Does not know: how the keeper does it.
/// Thread-safety: one thread at a time, except signalling, which is safe.
/// Waits:         in `launch`, for the keeper's answer, at most 30 seconds; then the keeper is killed. A keeper that
///                somebody stopped is resumed meanwhile, again and again, and before each command.
/// Errors:        the system's codes; `errc::containment_lost` once the keeper was killed and the guardian too, so that
///                nobody knows what is left of the tree.

#include <warden/containment.hpp>
#include <warden/detail/containment/guardian_linux.hpp>
#include <warden/detail/runtime/io_loop.hpp>
#include <warden/detail/system/descriptor_watch.hpp>
#include <warden/detail/system/procfs_linux.hpp>

#if WARDEN_OS_LINUX
#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <poll.h>

namespace warden::detail {

/// One tree below a keeper of its own.
class KeeperTree {
public:
    static constexpr Mechanism mechanism = Mechanism::keeper;
    static constexpr bool launches_directly = false;
    static constexpr bool lists_cheaply = true;

    /// `host` is what the leader is to inherit.
    KeeperTree(std::shared_ptr<Guardian> guardian, SpareKeeper keeper, InheritedAttributes host)
        : guardian_(std::move(guardian)), keeper_(std::move(keeper)), host_(std::move(host)) {}
    KeeperTree(KeeperTree&&) = delete;
    ~KeeperTree();

    /// Has the keeper launch the leader. On failure nothing is left of it. A keeper that somebody kills before it has
    /// read the request is replaced.
    void launch(const ChildPlan& plan, ChildAnswer& answer);

    /// From now on tells the end of the leader and of the tree; see `LeaderExitHandler`.
    [[nodiscard]] error_code watch(IoLoop& loop, LeaderExitHandler ended, Job tree_empty);

    [[nodiscard]] Pid pid() const noexcept { return pid_; }
    [[nodiscard]] error_code signal_leader(int signal) const noexcept;
    [[nodiscard]] error_code signal_tree(int signal) const noexcept {
        return tell({KeeperCommand::signal_tree, signal});
    }
    [[nodiscard]] error_code kill_tree() const noexcept { return tell({KeeperCommand::empty, 0}); }
    /// One by one, by this program. A keeper that is stopped once more is killed; the guardian ends what falls to it.
    [[nodiscard]] error_code last_resort() const;
    /// Once the keeper was killed, `errc::containment_lost` and at most a guess: the group and session of the leader,
    /// which may have become another's number.
    [[nodiscard]] std::vector<Pid> members(error_code& ec) const;
    [[nodiscard]] static bool has_escaped(Pid) noexcept { return false; }

private:
    struct Watch;
    [[nodiscard]] error_code tell(KeeperCommand command) const noexcept;
    [[nodiscard]] bool is_ready() const noexcept;    // the keeper has nobody any more
    [[nodiscard]] bool is_lost() const noexcept;     // the keeper was killed
    [[nodiscard]] bool is_unknown() const noexcept;  // and nobody knows what is left
    [[nodiscard]] bool try_launch(const ChildPlan& plan, ChildAnswer& answer);
    [[nodiscard]] bool take_another_keeper(SteadyTime deadline);
    [[nodiscard]] long await_answer(LaunchReply& reply) noexcept;

    const std::shared_ptr<Guardian> guardian_;
    SpareKeeper keeper_;
    const InheritedAttributes host_;
    Pid pid_ = 0;
    bool refused_ = false;  // the keeper has said that there is no leader
    UniqueFd pidfd_;  // none where pidfds are refused; then signals for the leader go by its pid, through the keeper
    std::shared_ptr<Watch> watch_;
};

// -- implementation ----------------------------------------------------------

/// What the host has changed since its keepers were forked goes with the request.
inline void take_inherited(const InheritedAttributes& now, const InheritedAttributes& keepers, LaunchRequest& request) {
    for (std::size_t i = 0; i < now.limits.size(); ++i) {
        const auto& [soft, hard] = now.limits[i];
        if (soft == keepers.limits[i].rlim_cur && hard == keepers.limits[i].rlim_max) continue;
        request.inherited[i] = now.limits[i];
        request.inherited_mask |= 1u << i;
    }
    if (now.processors != keepers.processors) {
        std::copy(now.processors.begin(), now.processors.end(), request.processors);
        request.plan.processors_bytes = static_cast<std::uint32_t>(now.processors.size() * sizeof(unsigned long));
    }
    const bool has_same_ids = now.user == keepers.user && now.group == keepers.group && now.groups == keepers.groups;
    if (!request.plan.change_ids && !has_same_ids) {
        request.plan.change_ids = true;
        request.plan.user = now.user;
        request.plan.group = now.group;
        request.plan.groups = now.groups.data();
        request.plan.group_count = static_cast<std::uint32_t>(now.groups.size());
    }
    if (request.plan.umask < 0) request.plan.umask = now.umask;
    if (!request.plan.change_nice && now.nice != keepers.nice) {
        request.plan.change_nice = true;
        request.plan.nice = now.nice;
    }
}

/// The text of a launch request; see `LaunchRequest`.
[[nodiscard]] inline std::string launch_text(const ChildPlan& plan, LaunchRequest& request) {
    std::string text(reinterpret_cast<const char*>(plan.groups), plan.group_count * sizeof(gid_t));
    const auto append = [&](const char* const* list) {
        std::uint32_t count = 0;
        for (; list[count]; ++count) text.append(list[count]).push_back('\0');
        return count;
    };
    request.candidate_count = append(plan.candidates);
    request.argument_count = append(plan.argv);
    request.variable_count = append(plan.environment);
    if (plan.directory) text.append(plan.directory).push_back('\0');
    return text;
}

inline void KeeperTree::launch(const ChildPlan& plan, ChildAnswer& answer) {
    const SteadyTime deadline = deadline_after(SteadyTime::clock::now(), std::chrono::seconds(10));
    while (!try_launch(plan, answer) && take_another_keeper(deadline)) {}
}

inline bool KeeperTree::take_another_keeper(SteadyTime deadline) {
    error_code ec;
    SpareKeeper another = guardian_->take_keeper(deadline, ec);
    if (ec || another.inherited->confinement != host_.confinement) return false;
    keeper_ = std::move(another);
    return true;
}

/// False if the keeper has ended without having read the request: the system says so by ECONNRESET, or when it is sent.
inline bool KeeperTree::try_launch(const ChildPlan& plan, ChildAnswer& answer) {
    const auto fail = [&](int error, SpawnStep step) {
        answer = {error, static_cast<std::int32_t>(step), 0};
        return true;
    };
    LaunchRequest request{};
    request.plan = plan;
    take_inherited(host_, *keeper_.inherited, request);
    const std::string text = launch_text(request.plan, request);
    request.text_bytes = static_cast<std::uint32_t>(text.size());
    const UniqueFd here(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!here) return fail(errno, SpawnStep::working_directory);
    UniqueFd file;
    if (text.size() > inline_text_bytes) {
        file.reset(::memfd_create("warden-launch", MFD_CLOEXEC));
        std::size_t written = 0;
        while (file && written < text.size()) {
            const ssize_t size = ::write(file.get(), text.data() + written, text.size() - written);
            if (size <= 0) break;
            written += static_cast<std::size_t>(size);
        }
        if (!file || written < text.size()) return fail(errno, SpawnStep::launch);
        request.in_memory_file = 1;
    }
    const int fds[] = {plan.stdio[0], plan.stdio[1], plan.stdio[2], here.get(), file.get()};
    const bool beside = static_cast<bool>(file);
    const long sent = send_record(keeper_.socket.get(), &request, sizeof request, text.data(), beside ? 0 : text.size(),
                                  fds, beside ? 5 : 4);
    if (sent < 0) {
        fail(static_cast<int>(-sent), SpawnStep::containment);
        return sent != -EPIPE && sent != -ECONNRESET;
    }
    LaunchReply reply{};
    const long size = await_answer(reply);
    if (size != static_cast<long>(sizeof reply)) {
        fail(size < 0 ? static_cast<int>(-size) : EPIPE, SpawnStep::containment);
        return size != -ECONNRESET;
    }
    answer = reply.answer;
    pid_ = answer.error == 0 ? reply.pid : 0;
    refused_ = answer.error != 0;
    return true;
}

/// Waits for the answer to a launch, in this thread. Its size, 0 if the keeper has ended, or a negative errno.
inline long KeeperTree::await_answer(LaunchReply& reply) noexcept {
    constexpr int slice_ms = 100;
    constexpr int max_slices = 300;
    for (int slices = 0; slices < max_slices;) {
        struct pollfd answered = {keeper_.socket.get(), POLLIN, 0};
        const int ready = ::poll(&answered, 1, slice_ms);
        if (ready < 0 && errno != EINTR) return -errno;
        if (ready <= 0) {
            slices += ready == 0 ? 1 : 0;
            signal_keeper(keeper_, SIGCONT);
            continue;
        }
        int received[descriptors_beside];
        std::size_t count = 0;
        const long size = receive_record(keeper_.socket.get(), &reply, sizeof reply, nullptr, 0, received, count);
        if (count == 1) pidfd_.reset(received[0]);
        if (size != -EAGAIN) return size;
    }
    signal_keeper(keeper_, SIGKILL);
    return -ETIMEDOUT;
}

inline error_code KeeperTree::tell(KeeperCommand command) const noexcept {
    if (command.kind != KeeperCommand::signal_leader) signal_keeper(keeper_, SIGCONT);
    const long sent = send_record(keeper_.socket.get(), &command, sizeof command, nullptr, 0, nullptr, 0);
    if (sent >= 0) return {};
    if (sent != -EPIPE && sent != -ECONNRESET) return system_code(static_cast<int>(-sent));
    // Without a keeper nothing is left to be signalled, or the guardian ends it.
    return is_unknown() ? error_code(errc::containment_lost) : system_code(ESRCH);
}

inline error_code KeeperTree::last_resort() const {
    constexpr int max_rounds = 16;
    constexpr std::size_t max_held = 256;
    std::set<Pid> signalled;
    for (int round = 0; round < max_rounds && !is_lost(); ++round) {
        std::vector<std::pair<Pid, UniqueFd>> held;
        error_code unlisted;  // then the keeper is the way
        for (const Pid pid : members(unlisted)) {
            if (held.size() < max_held && !signalled.contains(pid)) {
                held.emplace_back(pid, static_cast<int>(raw(SYS_pidfd_open, pid, 0)));
            }
        }
        if (held.empty()) break;
        const auto now = members(unlisted);  // held now; it is of the tree if it still is there
        for (const auto& [pid, process] : held) {
            const bool is_member = process && std::find(now.begin(), now.end(), pid) != now.end();
            if (is_member) static_cast<void>(signal_pidfd(process.get(), SIGKILL));
            signalled.insert(pid);
        }
    }
    const auto stat = procfs::read_stat(keeper_.pid);
    if (stat && is_stopped(*stat)) signal_keeper(keeper_, SIGKILL);
    return {};
}

inline std::vector<Pid> KeeperTree::members(error_code& ec) const {
    if (!is_lost()) {
        auto found = procfs::descendants(keeper_.pid, ec);
        const bool is_held = is_ready() || !keeper_ended(keeper_);
        if (is_held) return found;  // else it was killed a moment ago, and its pid may be another's by now
    }
    ec = errc::containment_lost;
    if (!is_unknown()) return {};  // the guardian ends them
    std::vector<Pid> found;
    procfs::for_each_entry("/proc", [&](std::string_view name) {
        const auto pid = procfs::to_number<Pid>(name);
        const auto stat = pid ? procfs::read_stat(*pid) : std::nullopt;
        if (stat && (stat->group == pid_ || stat->session == pid_)) found.push_back(*pid);
    });
    return found;
}

inline error_code KeeperTree::signal_leader(int signal) const noexcept {
    const error_code ec = pidfd_ ? signal_pidfd(pidfd_.get(), signal) : system_code(ENOSYS);
    const bool refused = ec.value() == EPERM || ec.value() == ENOSYS;
    return refused ? tell({KeeperCommand::signal_leader, signal}) : ec;
}

/// What is waited for; shared with the handlers, which may still be queued when the tree is gone.
struct KeeperTree::Watch {
    explicit Watch(EventLoop& loop) : socket(loop) {}

    DescriptorWatch socket;  // the tree's
    LeaderExitHandler ended;
    Job tree_empty;
    std::function<void(std::function<void(bool)>)> on_lost;
    bool leader_ended = false;
    bool keeper_ready = false;  // it has said that nothing is left
    bool lost = false;
    bool unknown = false;

    static void wait(const std::shared_ptr<Watch>& self) {
        self->socket.wait_readable([self](const error_code& ec) {
            if (!ec) self->receive(self);
        });
    }

    void receive(const std::shared_ptr<Watch>& self) {
        KeeperEvent event{};
        std::size_t none = 0;
        int fds[descriptors_beside];
        const long size = receive_record(socket.get(), &event, sizeof event, nullptr, 0, fds, none);
        if (size == -EAGAIN) return wait(self);
        if (size != static_cast<long>(sizeof event)) return lose(self);
        const bool is_tree_empty = event.tree_empty != 0;
        keeper_ready = is_tree_empty;
        if (is_tree_empty) socket.close();
        else wait(self);
        if (!leader_ended) {
            leader_ended = true;
            ended(LeaderExit{decode_wait_status(event.wait_status), decode_usage(event.usage)}, is_tree_empty);
        } else if (is_tree_empty) {
            tree_empty();
        }
    }

    /// The keeper itself was killed. The guardian ends the tree and says when; nobody learns how the leader ended.
    void lose(const std::shared_ptr<Watch>& self) {
        socket.close();
        lost = true;
        if (!std::exchange(leader_ended, true)) ended(LeaderExit{}, false);
        if (!on_lost) return;  // the tree has been let go
        std::exchange(on_lost, nullptr)([weak = std::weak_ptr<Watch>(self)](bool tree_ended) {
            const auto watch = weak.lock();
            if (!watch) return;
            watch->unknown = !tree_ended;
            if (tree_ended) watch->tree_empty();
        });
    }
};

inline bool KeeperTree::is_ready() const noexcept { return watch_ ? watch_->keeper_ready : refused_; }
inline bool KeeperTree::is_lost() const noexcept { return watch_ && watch_->lost; }
inline bool KeeperTree::is_unknown() const noexcept { return watch_ && watch_->unknown; }

inline KeeperTree::~KeeperTree() {
    const bool ready = is_ready();
    if (watch_) {
        watch_->on_lost = nullptr;
        watch_->socket.close();
    }
    watch_.reset();
    if (ready) guardian_->release_keeper(std::move(keeper_));
    // Else closing the socket makes the keeper empty the tree.
}

inline error_code KeeperTree::watch(IoLoop& loop, LeaderExitHandler ended, Job tree_empty) {
    watch_ = std::make_shared<Watch>(loop.context());
    if (const error_code ec = watch_->socket.borrow(keeper_.socket.get())) return ec;
    watch_->ended = std::move(ended);
    watch_->tree_empty = std::move(tree_empty);
    watch_->on_lost = [this](std::function<void(bool)> settled) {
        if (pidfd_) static_cast<void>(signal_pidfd(pidfd_.get(), SIGKILL));
        guardian_->settle(keeper_, std::move(settled));
    };
    Watch::wait(watch_);
    return {};
}

}  // namespace warden::detail
#endif
