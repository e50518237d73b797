// SPDX-License-Identifier: MIT
// The ends of children by SIGCHLD, beside a host that has plans of its own for that signal.
#include "group_tree.hpp"

#include <csignal>

#include <sys/wait.h>
#include <unistd.h>

using namespace support;

namespace {

std::atomic<int> host_handler_calls{0};
struct sigaction host_former {};
void host_handler(int) { ++host_handler_calls; }
void chaining_host_handler(int signal, siginfo_t* info, void* context) {
    ++host_handler_calls;
    if ((host_former.sa_flags & SA_SIGINFO) != 0) host_former.sa_sigaction(signal, info, context);
}

bool installed() { return ChildSignal::instance().installed(); }

}  // namespace

TEST_CASE("portable watch: the host's SIGCHLD handler still runs, and is in place again when the last loop is gone",
          "[portable]") {
    const struct sigaction at_first = chld_action();
    host_handler_calls = 0;
    struct sigaction mine {};
    mine.sa_handler = host_handler;
    mine.sa_flags = SA_NOCLDSTOP;
    ::sigaction(SIGCHLD, &mine, nullptr);
    {
        IoLoop first;
        IoLoop second;
        CHECK_FALSE(installed());
        Tree one(first, victim("exit", "1"));
        CHECK(installed());
        CHECK((chld_action().sa_flags & SA_NOCLDSTOP) != 0);
        Tree two(second, victim("exit", "2"));
        CHECK(one.status().code() == 1);
        CHECK(two.status().code() == 2);
        CHECK(eventually([&] { return host_handler_calls > 0; }));
    }
    CHECK(chld_action().sa_handler == host_handler);
    CHECK_FALSE(installed());
    ::sigaction(SIGCHLD, &at_first, nullptr);
}

TEST_CASE("portable watch: a handler that the host installs later is noticed, and with the next action all goes on",
          "[portable]") {
    const struct sigaction at_first = chld_action();
    for (const bool chains : {false, true}) {
        host_handler_calls = 0;
        {
            IoLoop loop;
            Tree before(loop, victim("stay"));
            Tree bystander(loop, victim("stay"));
            CHECK(installed());
            struct sigaction mine {};
            if (chains) mine.sa_sigaction = chaining_host_handler;
            else mine.sa_handler = host_handler;
            mine.sa_flags = chains ? SA_SIGINFO : 0;
            ::sigaction(SIGCHLD, &mine, &host_former);
            CHECK_FALSE(installed());
            ::kill(bystander.pid(), SIGKILL);  // behind our back
            REQUIRE(eventually([&] { return process_state(bystander.pid()) != 'S'; }));
            CHECK(!before.signal_tree(SIGKILL));
            CHECK(installed());
            CHECK(before.status().signal() == SIGKILL);
            CHECK(bystander.status().signal() == SIGKILL);
            Tree after(loop, victim("exit", "5"));
            CHECK(after.status().code() == 5);
            CHECK(host_handler_calls > 0);
        }
        CHECK(chains == ((chld_action().sa_flags & SA_SIGINFO) != 0));
        ::sigaction(SIGCHLD, &at_first, nullptr);
    }
}

TEST_CASE("portable watch: a host that replaces the handler again and again is given up on, but loses no end to a kill",
          "[portable]") {
    const std::string failures = in_subprocess([](Checks& check) {
        IoLoop loop;
        bool given_up = false;
        for (std::size_t round = 0; round < 2 * ChildSignal::max_levels; ++round) {
            Tree tree(loop, victim("exit", "4"));
            check.that(!given_up || !installed(), "it stays given up");
            given_up = !installed();
            const bool has_ended = eventually([&] { return process_state(tree.pid()) == 'Z' || tree.ends_told > 0; });
            check.that(has_ended, "the victim ends");
            if (given_up) tree.signal_tree(SIGTERM);
            check.that(tree.status().code() == 4, "an end is told, at the next action at the latest");
            ::signal(SIGCHLD, host_handler);
        }
        check.that(given_up, "given up");
    });
    CHECK(failures == "");
}

TEST_CASE("portable watch: in a fork of the host the handler writes to nothing, until the fork has a loop of its own",
          "[portable]") {
    const std::string failures = in_subprocess([](Checks& check) {
        auto [to_read, to_write] = make_closed_pipe();
        check.that(to_read && ::fcntl(to_read.get(), F_SETFL, O_NONBLOCK) == 0, "a pipe");
        check.that(ChildSignal::instance().add(to_write.get()), "a place");
        char bytes[8];
        ::raise(SIGCHLD);
        check.that(::read(to_read.get(), bytes, sizeof bytes) == 1, "a byte in the host");
        const pid_t fork = ::fork();
        if (fork == 0) {
            ::raise(SIGCHLD);
            bool well = ::read(to_read.get(), bytes, sizeof bytes) < 0 && errno == EAGAIN;
            ChildSignal::instance().remove(to_write.get());
            {
                IoLoop loop;
                Tree tree(loop, victim("exit", "6"));
                well = well && tree.status().code() == 6;
            }
            well = well && ::read(to_read.get(), bytes, sizeof bytes) < 0 && errno == EAGAIN;
            ::_exit(well ? 0 : 1);
        }
        int status = -1;
        check.that(::waitpid(fork, &status, 0) == fork && status == 0, "the fork is well");
        check.that(::read(to_read.get(), bytes, sizeof bytes) > 0, "its end is told in the host");
        ChildSignal::instance().remove(to_write.get());
        check.that(chld_action().sa_handler == SIG_DFL, "the former handler is back");
    });
    CHECK(failures == "");
}
