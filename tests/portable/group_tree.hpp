// SPDX-License-Identifier: MIT
// Trees of the portable tier on a loop, without a manager.
#pragma once

#include <support/catch.hpp>
#include <support/handshake.hpp>
#include <support/process.hpp>
#include <support/skip.hpp>
#include <support/subprocess.hpp>
#include <warden/detail/containment/process_group_portable.hpp>
#include <warden/detail/runtime/io_loop.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>

namespace support {

using namespace warden::detail;
using warden::ExitStatus;
using warden::Pid;
using namespace std::chrono_literals;

inline constexpr auto patience = 10s;  // only bounds a failure

/// Words to execute, and a plan that may be changed before it is launched.
struct Program {
    explicit Program(std::vector<std::string> with) : words(std::move(with)) {
        candidates = {words[0].c_str(), nullptr};
        for (const auto& word : words) argv.push_back(word.c_str());
        argv.push_back(nullptr);
        plan.argv = argv.data();
        plan.environment = environment.data();
        plan.candidates = candidates.data();
        plan.stdio.fill(null.get());
    }

    std::vector<std::string> words;
    std::vector<const char*> argv;
    std::vector<const char*> candidates;
    std::vector<const char*> environment{"LANG=C", nullptr};
    UniqueFd null{::open("/dev/null", O_RDWR | O_CLOEXEC)};
    ChildPlan plan;
};

template <class... Words>
Program victim(Words... words) {
    return Program({WARDEN_TEST_VICTIM, words...});
}

/// A loop with a tree on it. The tree is destroyed on the loop.
class Tree {
public:
    Tree(IoLoop& loop, const Program& program) : Tree(loop, program.plan) {}
    Tree(IoLoop& loop, const ChildPlan& plan) : loop_(loop) {
        tree_.emplace();
        tree_->launch(plan, answer);
        if (answer.error != 0) return;
        const warden::error_code ec = loop_.call([&] {
            return tree_->watch(
                loop_,
                [&](const LeaderExit& end, bool tree_empty) {
                    ++ends_told;
                    if (tree_empty) tree_empty_.set_value();
                    ended_.set_value({end, tree_empty});
                },
                [&] { tree_empty_.set_value(); });
        });
        if (ec) throw warden::system_error(ec, "the tree is not watched");
    }
    ~Tree() { destroy(); }
    void destroy() {
        loop_.call([&] { tree_.reset(); });
    }

    [[nodiscard]] Pid pid() const { return tree_->pid(); }
    [[nodiscard]] ProcessGroupTree& in_place() { return *tree_; }

    /// How the leader ended, and whether nothing of its group was left then.
    [[nodiscard]] std::pair<LeaderExit, bool> end() {
        if (ending_.wait_for(patience) != std::future_status::ready) throw std::runtime_error("no end was told");
        return ending_.get();
    }
    [[nodiscard]] ExitStatus status() { return end().first.status; }
    [[nodiscard]] bool becomes_extinct(std::chrono::milliseconds within = patience) {
        return extinction_.wait_for(within) == std::future_status::ready;
    }
    warden::error_code signal_leader(int signal) {
        return loop_.call([&] { return tree_->signal_leader(signal); });
    }
    warden::error_code signal_tree(int signal) {
        return loop_.call([&] { return tree_->signal_tree(signal); });
    }
    std::vector<Pid> members() {
        warden::error_code ec;
        auto found = loop_.call([&] { return tree_->members(ec); });
        CHECK_FALSE(ec);
        return found;
    }

    ChildAnswer answer;
    std::atomic<int> ends_told{0};

private:
    IoLoop& loop_;
    std::optional<ProcessGroupTree> tree_;
    std::promise<std::pair<LeaderExit, bool>> ended_;
    std::promise<void> tree_empty_;
    std::shared_future<std::pair<LeaderExit, bool>> ending_ = ended_.get_future();
    std::shared_future<void> extinction_ = tree_empty_.get_future();
};

/// What a promise is given, in time. Not by `get`, during which the thread sanitizer lets no signal handler run.
template <class T>
[[nodiscard]] T value_of(std::promise<T>& promise) {
    auto future = promise.get_future();
    if (future.wait_for(patience) != std::future_status::ready) throw std::runtime_error("nothing was told");
    return future.get();
}

/// What is to be done at a SIGCHLD.
[[nodiscard]] inline struct sigaction chld_action() {
    struct sigaction action {};
    ::sigaction(SIGCHLD, nullptr, &action);
    return action;
}

inline std::string fifo_path() { return (std::filesystem::temp_directory_path() / "ready").string(); }

}  // namespace support
