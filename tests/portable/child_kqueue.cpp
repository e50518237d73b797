// SPDX-License-Identifier: MIT
// The ends of children by kqueue(2), which asks nothing of the host and may tell an end before wait(2) does.
#include "group_tree.hpp"

#include <csignal>

#include <sys/event.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace support;

TEST_CASE("portable kqueue: the host's SIGCHLD is left alone", "[portable]") {
    const struct sigaction at_first = chld_action();
    IoLoop loop;
    Tree tree(loop, victim("exit", "3"));
    CHECK(chld_action().sa_handler == at_first.sa_handler);
    CHECK(chld_action().sa_flags == at_first.sa_flags);
    CHECK(tree.status().code() == 3);
    CHECK(tree.becomes_extinct());
}

TEST_CASE("portable kqueue: a child that the queue says is ending, though wait says that it runs, is looked at again",
          "[portable]") {
    IoLoop loop;
    kqueue_double::refusals = 50;
    Tree tree(loop, victim("stay"));
    CHECK(eventually([] { return kqueue_double::refusals <= 0; }));
    CHECK(tree.ends_told == 0);
    CHECK(!tree.signal_tree(SIGKILL));
    CHECK(tree.status().signal() == SIGKILL);
    CHECK(tree.ends_told == 1);
}

TEST_CASE("portable kqueue: a loop that goes while a child that was killed is ending reaps it", "[portable]") {
    for (int round = 0; round < 20; ++round) {
        IoLoop loop;
        Tree tree(loop, victim("stay"));
        kqueue_double::refusals = 3;
    }
    CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);
    kqueue_double::refusals = 0;
}

TEST_CASE("portable kqueue: nothing is watched any more when all have ended, and no descriptor stays open",
          "[portable]") {
    IoLoop loop;
    for (int i = 0; i < 20; ++i) {
        Tree tree(loop, victim(i % 2 == 0 ? "exit" : "stay"));
        if (i % 2 == 0) CHECK(tree.status().code() == 0);
        if (i % 4 == 1) CHECK(!tree.signal_tree(SIGKILL));
    }
    CHECK(eventually([] {
        const std::lock_guard lock(kqueue_double::mutex);
        return kqueue_double::pidfds.empty();
    }));
}
