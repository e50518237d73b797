// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Containment by control groups v2: one group for the manager, one beneath it for each tree.
///
/// Knows:         where the hierarchy is mounted and which group is ours; cgroup.kill, cgroup.events, cgroup.procs.
/// Does not know: controllers, and version 1 hierarchies, which belong to others.
/// Thread-safety: CgroupHome: safe. CgroupTree: one thread at a time, except signalling, which is safe.
/// Errors:        the system's codes.

#include <warden/containment.hpp>
#include <warden/detail/containment/cgroup_hierarchy_linux.hpp>
#include <warden/detail/containment/escapees_linux.hpp>
#include <warden/detail/containment/pidfd_linux.hpp>
#include <warden/detail/system/procfs_linux.hpp>
#include <warden/detail/system/unique_fd_posix.hpp>

#if WARDEN_OS_LINUX
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

namespace warden::detail {

/// The manager's own group.
class CgroupHome {
public:
    /// Sweeps what crashed managers left, makes the group `name` beneath the one that this process is in, and proves
    /// that a child can be born in a group beneath it, be killed there by `cgroup.kill`, and that the groups can be
    /// removed. `why` says what was missing.
    [[nodiscard]] static std::shared_ptr<CgroupHome> make(const std::string& name, std::string& why);

    ~CgroupHome();
    CgroupHome(const CgroupHome&) = delete;
    CgroupHome& operator=(const CgroupHome&) = delete;

    [[nodiscard]] int directory() const noexcept { return directory_.get(); }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }

    /// Where the group stands below the root of the hierarchy, as /proc/<pid>/cgroup shows it.
    [[nodiscard]] const std::string& path_in_hierarchy() const noexcept { return path_; }

    /// An empty group beneath it: its name. One that has been used before costs the kernel a fraction of a new one.
    [[nodiscard]] std::string take_group(error_code& ec);
    /// Takes an empty group back in which nothing was ever killed.
    void give_group(std::string group) noexcept;
    void remove_group(const std::string& group) noexcept;

    /// Whether `pid` is, or was when it ended, in this group beneath it, or in any if none is named.
    [[nodiscard]] bool holds(Pid pid, const std::string& group = {}) const;

private:
    CgroupHome(UniqueFd parent, UniqueFd directory, std::string name, std::string path)
        : parent_(std::move(parent)), directory_(std::move(directory)), name_(std::move(name)), path_(std::move(path)) {
        spare_.reserve(max_spare);
    }
    [[nodiscard]] bool prove(std::string& why);

    UniqueFd parent_;
    UniqueFd directory_;
    std::string name_;
    std::string path_;
    static constexpr std::size_t max_spare = 16;
    std::mutex mutex_;
    std::vector<std::string> spare_;
    std::uint64_t count_ = 0;
};

/// One tree in a group of its own.
class CgroupTree {
public:
    static constexpr Mechanism mechanism = Mechanism::cgroup;
    static constexpr bool launches_directly = true;
    static constexpr bool lists_cheaply = true;

    CgroupTree(std::shared_ptr<CgroupHome> home, std::string group)
        : home_(std::move(home)), group_(std::move(group)) {}
    CgroupTree(CgroupTree&&) = delete;
    ~CgroupTree();

    /// Launches the leader into the group. On failure nothing is left of it.
    void launch(const ChildPlan& plan, ChildAnswer& answer);

    /// From now on tells the end of the leader and of the tree; see `LeaderExitHandler`.
    void watch(boost::asio::io_context& loop, LeaderExitHandler ended, std::function<void()> tree_empty);

    [[nodiscard]] Pid pid() const noexcept { return pid_; }
    [[nodiscard]] error_code signal_leader(int signal) const noexcept;
    [[nodiscard]] error_code signal_tree(int signal);
    [[nodiscard]] error_code kill_tree();
    /// One by one.
    [[nodiscard]] error_code last_resort() { return signal_tree(SIGKILL); }
    /// Those in the group, and those that are found to have left it.
    [[nodiscard]] std::vector<Pid> members();
    [[nodiscard]] bool has_escaped(Pid pid) const noexcept { return escapees_.has(pid); }

private:
    struct Watch;
    [[nodiscard]] bool is_populated() const;
    [[nodiscard]] std::vector<Pid> group_members(error_code& ec) const;
    /// Whether `pid` is, or was when it ended, in the group or in one beneath it.
    [[nodiscard]] bool is_inside(Pid pid) const { return home_->holds(pid, group_); }
    [[nodiscard]] bool is_hidden_inside(Pid pid) const;
    void look_for_escapees(std::vector<Pid> inside) {
        escapees_.look(std::move(inside), pid_, pidfd_.get(), [this](Pid pid) { return is_inside(pid); });
    }
    [[nodiscard]] UniqueFd open(const std::string& file, int flags) const noexcept {
        return UniqueFd(::openat(home_->directory(), (group_ + '/' + file).c_str(), flags | O_CLOEXEC));
    }

    std::shared_ptr<CgroupHome> home_;
    std::string group_;
    Pid pid_ = 0;
    UniqueFd pidfd_;
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

inline std::shared_ptr<CgroupHome> CgroupHome::make(const std::string& name, std::string& why) {
    const std::string mount = cgroup_mount();
    const std::string own = procfs::control_group(::getpid());
    if (mount.empty() || own.empty()) {
        why = "no cgroup v2 hierarchy is mounted here";
        return nullptr;
    }
    const std::string above = own == "/" ? mount : mount + own;
    UniqueFd parent(::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    UniqueFd directory;
    if (parent) {
        sweep_stale_groups(parent.get(), above);
        directory = make_owned_group(parent.get(), name);
    }
    if (!directory) {
        why = "a control group cannot be made in " + above + ": " + system_code(errno).message() +
              " (delegate the subtree to this user, for example systemd's Delegate=yes)";
        return nullptr;
    }
    std::shared_ptr<CgroupHome> home(
        new CgroupHome(std::move(parent), std::move(directory), name, own == "/" ? '/' + name : own + '/' + name));
    return home->prove(why) ? home : nullptr;
}

inline CgroupHome::~CgroupHome() {
    for (const auto& group : spare_) remove_group(group);
    ::unlinkat(parent_.get(), name_.c_str(), AT_REMOVEDIR);
}

inline bool CgroupHome::prove(std::string& why) {
    error_code ec;
    const std::string group = take_group(ec);
    if (ec) {
        why = "a control group cannot be made in our own: " + ec.message();
        return false;
    }
    const UniqueFd directory(::openat(directory_.get(), group.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    Cloned child;
    ChildAnswer answer;
    const char* const nothing[] = {nullptr};
    ChildPlan plan;  // executes nothing: a child that is born in the group and fails at its descriptors proves enough
    plan.candidates = plan.argv = plan.environment = nothing;
    child = launch_child(plan, directory.get(), answer);
    const bool born = child.error == EBADF && answer.step == static_cast<std::int32_t>(SpawnStep::descriptors);
    const int killed = kill_group(directory.get());
    remove_group(group);
    if (!born) why = "a child cannot be started in a control group: " + system_code(child.error).message();
    else if (killed != 0) why = "cgroup.kill (Linux 5.14) cannot be written: " + system_code(killed).message();
    return born && killed == 0;
}

inline std::string CgroupHome::take_group(error_code& ec) {
    ec.clear();
    std::string group;
    {
        const std::lock_guard lock(mutex_);
        if (!spare_.empty()) {
            group = std::move(spare_.back());
            spare_.pop_back();
            return group;
        }
        group = std::to_string(count_++);
    }
    if (::mkdirat(directory_.get(), group.c_str(), 0755) != 0) ec = system_code(errno);
    return group;
}

inline void CgroupHome::give_group(std::string group) noexcept {
    struct stat status {};
    const bool has_groups_below = ::fstatat(directory_.get(), group.c_str(), &status, 0) != 0 || status.st_nlink != 2;
    {
        const std::lock_guard lock(mutex_);
        if (!has_groups_below && spare_.size() < spare_.capacity()) return spare_.push_back(std::move(group));
    }
    remove_group(group);
}

inline void CgroupHome::remove_group(const std::string& group) noexcept {
    if (::unlinkat(directory_.get(), group.c_str(), AT_REMOVEDIR) == 0 || errno != EBUSY) return;
    const UniqueFd directory(::openat(directory_.get(), group.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (directory) remove_groups_below(directory.get());
    ::unlinkat(directory_.get(), group.c_str(), AT_REMOVEDIR);
}

inline bool CgroupHome::holds(Pid pid, const std::string& group) const {
    const std::string above = path_ + '/' + group;
    const std::string actual = procfs::control_group(pid);
    return actual.starts_with(above) && (group.empty() || actual.size() == above.size() || actual[above.size()] == '/');
}

inline CgroupTree::~CgroupTree() {
    watch_.reset();
    if (is_populated() || escapees_.next_running()) static_cast<void>(kill_tree());
    if (killed_) home_->remove_group(group_);
    else home_->give_group(std::move(group_));
}

inline void CgroupTree::launch(const ChildPlan& plan, ChildAnswer& answer) {
    const UniqueFd directory(::openat(home_->directory(), group_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!directory) {
        answer = {errno, static_cast<std::int32_t>(SpawnStep::containment), 0};
        return;
    }
    const Cloned child = launch_child(plan, directory.get(), answer);
    if (child.error != 0) return;
    pid_ = child.pid;
    pidfd_.reset(child.pidfd);
}

inline error_code CgroupTree::signal_leader(int signal) const noexcept {
    const error_code ec = signal_pidfd(pidfd_.get(), signal);
    const bool refused = ec.value() == EPERM || ec.value() == ENOSYS;
    if (!refused || !home_->holds(pid_)) return ec;
    // A filter may refuse the call itself. The pid is ours until we reap it, on this very thread.
    return ::kill(pid_, signal) == 0 ? error_code{} : system_code(errno);
}

inline error_code CgroupTree::kill_tree() {
    error_code unread;  // the kill reaches them all the same
    look_for_escapees(group_members(unread));
    const error_code refused = escapees_.signal(SIGKILL);
    killed_ = true;
    const UniqueFd directory = open(".", O_RDONLY | O_DIRECTORY);
    const int failed = directory ? kill_group(directory.get()) : errno;
    return failed == 0 || failed == ENOENT ? refused : system_code(failed);
}

inline std::vector<Pid> CgroupTree::group_members(error_code& ec) const {
    ec.clear();
    std::vector<Pid> found;
    const UniqueFd directory = open(".", O_RDONLY | O_DIRECTORY);
    if (directory) collect_members(directory.get(), 0, found, ec);
    else if (errno != ENOENT) ec = system_code(errno);
    return found;
}

inline std::vector<Pid> CgroupTree::members() {
    error_code unread;
    std::vector<Pid> found = group_members(unread);
    look_for_escapees(found);
    escapees_.append_to(found);
    return found;
}

/// Whether `pid` is in the group, though /proc hides it (hidepid).
inline bool CgroupTree::is_hidden_inside(Pid pid) const {
    if (!procfs::control_group(pid).empty()) return false;
    error_code unread;
    const std::vector<Pid> members = group_members(unread);
    return std::find(members.begin(), members.end(), pid) != members.end();
}

inline error_code CgroupTree::signal_tree(int signal) {
    error_code refused = escapees_.signal(signal);
    std::vector<Pid> seen;
    for (bool fresh = true; fresh;) {
        fresh = false;
        error_code unread;
        const std::vector<Pid> members = group_members(unread);
        if (unread) refused = unread;
        for (const Pid pid : members) {
            if (std::find(seen.begin(), seen.end(), pid) != seen.end()) continue;
            seen.push_back(pid);
            fresh = true;
            const UniqueFd held(static_cast<int>(raw(SYS_pidfd_open, pid, 0)));
            if (!is_inside(pid) && !is_hidden_inside(pid)) continue;  // held now: if it is in our group, it is the one
            const error_code ec = held                       ? signal_pidfd(held.get(), signal)
                                  : pid == pid_              ? signal_leader(signal)
                                  : ::kill(pid, signal) == 0 ? error_code{}
                                                             : system_code(errno);
            if (ec && ec.value() != ESRCH) refused = ec;
        }
    }
    return refused;
}

/// Whether a cgroup.events file says that its group has members. Reading also arms the next notification.
[[nodiscard]] inline bool says_populated(int file) noexcept {
    char text[128];
    const ssize_t size = ::pread(file, text, sizeof text, 0);
    return size > 0 &&
           std::string_view(text, static_cast<std::size_t>(size)).find("populated 1") != std::string_view::npos;
}

inline bool CgroupTree::is_populated() const {
    const UniqueFd file = open("cgroup.events", O_RDONLY);
    return file && says_populated(file.get());
}

/// What is waited for; shared with the handlers, which may still be queued when the tree is gone.
struct CgroupTree::Watch {
    using Descriptor = boost::asio::posix::stream_descriptor;

    Watch(boost::asio::io_context& loop, int pidfd) : leader(loop, pidfd), events(loop) {}
    ~Watch() {
        if (leader.is_open()) leader.release();  // the tree owns it
    }

    Descriptor leader;
    Descriptor events;  // of the group; once that is empty, a pidfd of an escapee
    LeaderExitHandler ended;
    std::function<void()> tree_empty;

    static void wait_leader(const std::shared_ptr<Watch>& self, CgroupTree& tree) {
        self->leader.async_wait(Descriptor::wait_read, [self, &tree](const error_code& ec) {
            if (ec) return;
            const auto end = reap_pidfd(self->leader.native_handle());
            if (!end) return wait_leader(self, tree);
            self->leader.release();
            UniqueFd file = tree.open("cgroup.events", O_RDONLY);
            const bool populated = file && says_populated(file.get());
            if (populated) self->events.assign(file.release());
            UniqueFd escapee = populated ? UniqueFd() : tree.escapees_.next_running();
            const bool is_over = !populated && !escapee;
            self->ended(*end, is_over);
            if (populated) wait_empty(self, tree);
            else if (!is_over) wait_escapee(self, tree, std::move(escapee));
        });
    }

    static void wait_empty(const std::shared_ptr<Watch>& self, CgroupTree& tree) {
        if (!says_populated(self->events.native_handle())) {
            self->events.close();
            return wait_escapee(self, tree, tree.escapees_.next_running());
        }
        self->events.async_wait(Descriptor::wait_error, [self, &tree](const error_code& ec) {
            if (!ec) wait_empty(self, tree);
        });
    }

    static void wait_escapee(const std::shared_ptr<Watch>& self, CgroupTree& tree, UniqueFd escapee) {
        if (!escapee) return self->tree_empty();
        self->events.assign(escapee.release());
        self->events.async_wait(Descriptor::wait_read, [self, &tree](const error_code& ec) {
            if (ec) return;
            self->events.close();
            wait_escapee(self, tree, tree.escapees_.next_running());
        });
    }
};

inline void CgroupTree::watch(boost::asio::io_context& loop, LeaderExitHandler ended,
                              std::function<void()> tree_empty) {
    watch_ = std::make_shared<Watch>(loop, pidfd_.get());
    watch_->ended = std::move(ended);
    watch_->tree_empty = std::move(tree_empty);
    Watch::wait_leader(watch_, *this);
}

}  // namespace warden::detail
#endif
