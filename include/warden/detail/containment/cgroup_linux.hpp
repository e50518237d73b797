// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Containment by control groups v2: one group for each tree.
///
/// Knows:         cgroup.kill, cgroup.events, cgroup.procs; that a member may own the group and misuse it.
/// Does not know: controllers.
/// Thread-safety: one thread at a time, except signalling, which is safe.
/// Errors:        the system's codes.

#include <warden/containment.hpp>
#include <warden/detail/containment/cgroup_home_linux.hpp>
#include <warden/detail/containment/escapees_linux.hpp>
#include <warden/detail/containment/pidfd_linux.hpp>
#include <warden/detail/runtime/io_loop.hpp>
#include <warden/detail/runtime/scheduler.hpp>
#include <warden/detail/system/descriptor_watch.hpp>
#include <warden/detail/system/procfs_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <sys/prctl.h>
#include <unistd.h>

namespace warden::detail {

/// One tree in a group of its own.
class CgroupTree {
public:
    static constexpr Mechanism mechanism = Mechanism::cgroup;
    static constexpr bool launches_directly = true;
    static constexpr bool lists_cheaply = true;

    CgroupTree(std::shared_ptr<CgroupHome> home, ControlGroup group)
        : home_(std::move(home)), group_(std::move(group)) {}
    CgroupTree(CgroupTree&&) = delete;
    ~CgroupTree();

    /// Launches the leader into the group. On failure nothing is left of it.
    void launch(const ChildPlan& plan, ChildAnswer& answer);

    /// From now on tells the end of the leader and of the tree; see `LeaderExitHandler`.
    [[nodiscard]] error_code watch(IoLoop& loop, LeaderExitHandler ended, Job tree_empty);

    [[nodiscard]] Pid pid() const noexcept { return pid_; }
    [[nodiscard]] error_code signal_leader(int signal) const noexcept;
    [[nodiscard]] error_code signal_tree(int signal);
    [[nodiscard]] error_code kill_tree();
    /// One by one.
    [[nodiscard]] error_code last_resort() { return signal_tree(SIGKILL); }
    /// Those in the group, and those that are found to have left it.
    [[nodiscard]] std::vector<Pid> members(error_code& ec);
    [[nodiscard]] bool has_escaped(Pid pid) const noexcept { return escapees_.has(pid); }

private:
    struct Watch;
    void forget_leader() noexcept { home_->leaders().remove(std::exchange(noted_, -1)); }
    [[nodiscard]] bool is_populated() const noexcept;
    /// The members of the group and of those beneath it. The error says that the list is not complete.
    [[nodiscard]] std::vector<Pid> group_members(error_code& ec, std::vector<Pid>* headless = nullptr) const;
    void kill_headless();
    /// Whether `pid` is, or was when it ended, in the group or in one beneath it.
    [[nodiscard]] bool is_inside(Pid pid) const { return home_->holds(pid, group_.name); }
    [[nodiscard]] error_code look_for_escapees(std::vector<Pid> inside) {
        error_code ec;
        escapees_.look(
            std::move(inside), pid_, pidfd_.get(), [this](Pid pid) { return is_inside(pid); }, ec);
        return ec;
    }

    std::shared_ptr<CgroupHome> home_;
    ControlGroup group_;
    Pid pid_ = 0;
    UniqueFd pidfd_;
    int noted_ = -1;                   // its place in the table of leaders
    std::atomic<bool> killed_{false};  // cgroup.kill was written: Linux kills whatever is born in such a group later
    Escapees escapees_;
    std::shared_ptr<Watch> watch_;
};

// -- implementation ----------------------------------------------------------

/// Whether orphans fall to this process.
[[nodiscard]] inline bool is_subreaper() noexcept {
    int set = 0;
    return ::getpid() == 1 || (::prctl(PR_GET_CHILD_SUBREAPER, &set) == 0 && set != 0);
}

inline void CgroupTree::launch(const ChildPlan& plan, ChildAnswer& answer) {
    for (int fresh = 0;; ++fresh) {
        const Cloned child = home_->launch(plan, group_, answer);
        if (child.error == 0) {
            pid_ = child.pid;
            pidfd_.reset(child.pidfd);
            noted_ = home_->leaders().add(pid_, child.pidfd);
            return;
        }
        // A member of another tree may have spoilt the group: frozen it, killed it, taken it away.
        const bool is_group_to_blame = answer.step == static_cast<std::int32_t>(SpawnStep::containment) ||
                                       (child.error == ECANCELED && answer.reached_exec == 0);
        error_code ec;
        if (!is_group_to_blame || answer.reached_exec != 0 || child.timed_out || fresh == 2) return;
        home_->remove_group(std::move(group_));
        group_ = home_->make_group(ec);
        if (ec) return;
        // Beside a threaded group, which a member can make of its own, there may be only such.
        if (child.error == EOPNOTSUPP)
            static_cast<void>(write_in_group(group_.directory.get(), "cgroup.type", "threaded"));
    }
}

inline error_code CgroupTree::signal_leader(int signal) const noexcept {
    const error_code ec = signal_pidfd(pidfd_.get(), signal);
    const bool refused = ec.value() == EPERM || ec.value() == ENOSYS;
    if (!refused || !home_->holds(pid_)) return ec;
    // A filter may refuse the call itself. The pid is ours until we reap it, on this very thread.
    return ::kill(pid_, signal) == 0 ? error_code{} : system_code(errno);
}

inline void append_listed(int pid, void* pids) { static_cast<std::vector<Pid>*>(pids)->push_back(pid); }

/// The members of a group whose processes cannot be listed, by their threads.
inline int append_by_threads(int directory, std::vector<Pid>& found) {
    std::vector<Pid> threads;
    int failed = for_each_listed(directory, "cgroup.threads", append_listed, &threads);
    for (const Pid thread : threads) {
        const Pid process = procfs::process_of(thread);
        if (process == 0 && procfs::exists(thread)) failed = EACCES;
        if (process != 0 && std::find(found.begin(), found.end(), process) == found.end()) found.push_back(process);
    }
    return failed;
}

/// What a walk through groups gathers.
struct GatheredMembers {
    std::vector<Pid> found;
    std::vector<Pid>* headless = nullptr;  ///< If wanted: those whose first thread has ended, or of threaded groups.
    int failed = 0;
};

/// Appends those of `found`, from `first` on, that are not among the threads of the group.
inline void append_headless(int directory, const std::vector<Pid>& found, std::size_t first,
                            std::vector<Pid>& headless) {
    std::vector<Pid> threads;
    static_cast<void>(for_each_listed(directory, "cgroup.threads", append_listed, &threads));
    std::sort(threads.begin(), threads.end());
    for (std::size_t i = first; i < found.size(); ++i) {
        if (!std::binary_search(threads.begin(), threads.end(), found[i])) headless.push_back(found[i]);
    }
}

inline void gather_members(int directory, void* context) {
    auto& gathered = *static_cast<GatheredMembers*>(context);
    const std::size_t before = gathered.found.size();
    int failed = for_each_listed(directory, "cgroup.procs", append_listed, &gathered.found);
    if (failed == EOPNOTSUPP) {
        failed = append_by_threads(directory, gathered.found);
        if (gathered.headless)
            gathered.headless->insert(gathered.headless->end(), gathered.found.begin() + static_cast<long>(before),
                                      gathered.found.end());
    } else if (gathered.headless && gathered.found.size() > before) {
        append_headless(directory, gathered.found, before, *gathered.headless);
    }
    const bool is_removed = failed == ENOENT || failed == ENODEV;
    if (failed != 0 && !is_removed) gathered.failed = failed;
}

inline std::vector<Pid> CgroupTree::group_members(error_code& ec, std::vector<Pid>* headless) const {
    GatheredMembers gathered;
    gathered.headless = headless;
    const bool all = walk_groups(group_.directory.get(), gather_members, &gathered);
    if (!all && gathered.failed == 0) gathered.failed = is_populated() ? EIO : 0;
    ec = gathered.failed != 0 ? system_code(gathered.failed) : error_code{};
    return std::move(gathered.found);
}

/// `cgroup.kill` does not reach a process whose first thread has ended, nor a threaded group.
inline void CgroupTree::kill_headless() {
    error_code ec;
    std::vector<Pid> headless;
    static_cast<void>(group_members(ec, &headless));
    for (const Pid pid : headless) kill_listed_process(static_cast<int>(pid), const_cast<char*>(home_->name().c_str()));
}

inline error_code CgroupTree::kill_tree() {
    error_code ec;
    std::vector<Pid> headless;
    const error_code unlisted = look_for_escapees(group_members(ec, &headless));
    const error_code refused = escapees_.signal(SIGKILL);
    killed_ = true;
    const int failed = kill_group(group_.directory.get());
    // Once more, for a first thread may have ended in between; any other is met when the leader's end is seen.
    if (!headless.empty() || ec) kill_headless();
    const bool is_told = failed == 0 || failed == ENOENT || failed == ENODEV || failed == EOPNOTSUPP;
    if (!is_told) return system_code(failed);
    return refused ? refused : unlisted;
}

inline std::vector<Pid> CgroupTree::members(error_code& ec) {
    std::vector<Pid> found = group_members(ec);
    const error_code unlisted = look_for_escapees(found);
    if (!ec) ec = unlisted;
    escapees_.append_to(found);
    return found;
}

inline error_code CgroupTree::signal_tree(int signal) {
    error_code refused = escapees_.signal(signal);
    std::vector<Pid> seen;
    for (bool fresh = true; fresh;) {
        fresh = false;
        error_code unlisted;
        for (const Pid pid : group_members(unlisted)) {
            if (std::find(seen.begin(), seen.end(), pid) != seen.end()) continue;
            seen.push_back(pid);
            fresh = true;
            const UniqueFd held(static_cast<int>(raw(SYS_pidfd_open, pid, 0)));
            if (is_in_other_group(static_cast<int>(pid), home_->name().c_str()))
                continue;  // held now, or somebody else
            const error_code ec = held                       ? signal_pidfd(held.get(), signal)
                                  : pid == pid_              ? signal_leader(signal)
                                  : ::kill(pid, signal) == 0 ? error_code{}
                                                             : system_code(errno);
            if (ec && ec.value() != ESRCH) refused = ec;
        }
        if (unlisted) refused = unlisted;
    }
    return refused;
}

/// Whether a cgroup.events file says anything else than that its group is empty or removed. Reading also arms the next
/// notification.
[[nodiscard]] inline bool may_be_populated(int file) noexcept {
    char text[128];
    const ssize_t size = ::pread(file, text, sizeof text, 0);
    if (size < 0) return errno != ENODEV;
    return std::string_view(text, static_cast<std::size_t>(size)).find("populated 0") == std::string_view::npos;
}

/// Every group that was made has the file open.
inline bool CgroupTree::is_populated() const noexcept { return group_.events && may_be_populated(group_.events.get()); }

/// What is waited for; shared with the handlers, which may still be queued when the tree is gone.
struct CgroupTree::Watch {
    explicit Watch(IoLoop& loop) : leader(loop.context()), events(loop.context()), again(loop) {}

    DescriptorWatch leader;
    DescriptorWatch events;  // of the group, and the tree's; once that is empty, a pidfd of an escapee
    Timer again;             // only while the system refuses to watch those
    LeaderExitHandler ended;
    Job tree_empty;

    static void wait_leader(const std::shared_ptr<Watch>& self, CgroupTree& tree) {
        self->leader.wait_readable([self, &tree](const error_code& ec) {
            if (ec || !self->leader.is_open()) return;
            tree.forget_leader();
            const auto end = reap_pidfd(self->leader.get());
            if (!end) return wait_leader(self, tree);
            self->leader.close();
            const bool populated = tree.is_populated();
            if (populated && tree.killed_) tree.kill_headless();
            UniqueFd escapee;
            const bool is_over = !populated && !tree.escapees_.has_running(escapee);
            self->ended(*end, is_over);
            if (!is_over) wait_empty(self, tree);
        });
    }

    /// Waits until nobody is left in the group, and then until the escapees have ended.
    static void wait_empty(const std::shared_ptr<Watch>& self, CgroupTree& tree) {
        if (tree.is_populated()) {
            if (!self->events.is_open() && self->events.borrow(tree.group_.events.get())) return look_later(self, tree);
            self->events.wait_error([self, &tree](const error_code& ec) {
                if (!ec) wait_empty(self, tree);
            });
            return;
        }
        self->events.close();
        UniqueFd escapee;
        if (!tree.escapees_.has_running(escapee)) return self->tree_empty();
        if (!escapee || self->events.open(std::move(escapee))) return look_later(self, tree);
        self->events.wait_readable([self, &tree](const error_code& ec) {
            if (ec) return;
            self->events.close();
            wait_empty(self, tree);
        });
    }

    /// What cannot be watched, for want of a descriptor or of the kernel's memory, is looked at again.
    static void look_later(const std::shared_ptr<Watch>& self, CgroupTree& tree) {
        constexpr std::chrono::milliseconds pause{50};
        self->again.arm(self->again.scheduler().now() + pause, [self, &tree] { wait_empty(self, tree); });
    }
};

inline CgroupTree::~CgroupTree() {
    if (watch_) {
        watch_->leader.close();
        watch_->events.close();
        watch_->again.cancel();
    }
    watch_.reset();
    forget_leader();
    UniqueFd escapee;
    if (is_populated() || escapees_.has_running(escapee)) static_cast<void>(kill_tree());
    if (killed_) home_->remove_group(std::move(group_));
    else home_->give_group(std::move(group_));
}

inline error_code CgroupTree::watch(IoLoop& loop, LeaderExitHandler ended, Job tree_empty) {
    watch_ = std::make_shared<Watch>(loop);
    if (const error_code ec = watch_->leader.borrow(pidfd_.get())) return ec;
    watch_->ended = std::move(ended);
    watch_->tree_empty = std::move(tree_empty);
    Watch::wait_leader(watch_, *this);
    return {};
}

}  // namespace warden::detail
#endif
