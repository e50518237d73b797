// SPDX-License-Identifier: MIT
// The lock of a name of detached processes.
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/detail/detached/name_lock_posix.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

using namespace std::chrono_literals;
using warden::error_code;
using warden::detail::NameLock;
using warden::detail::RecordFiles;

namespace {

struct Records {
    log_test::Directory directory{};
    error_code ec{};
    std::string why{};
    RecordFiles files = RecordFiles::open(directory.path() / "data", true, ec, why);

    [[nodiscard]] NameLock lock(const char* name, std::chrono::milliseconds patience, error_code& failed) const {
        return NameLock::acquire(files, name, warden::SteadyTime::clock::now() + patience, failed);
    }
    [[nodiscard]] bool are_there() const { return !std::filesystem::is_empty(files.path()); }
};

}  // namespace

TEST_CASE("name lock: one at a time holds it, and a deadline ends the waiting", "[detached]") {
    const Records records;
    error_code ec;
    {
        const NameLock held = records.lock("train", 1s, ec);
        REQUIRE(held);
        error_code refused;
        CHECK_FALSE(records.lock("train", 50ms, refused));
        CHECK(refused == warden::errc::timed_out);
        CHECK(records.lock("another/../name.json", 0ms, ec));
    }
    CHECK(records.lock("train", 0ms, ec));
    CHECK_FALSE(records.are_there());
}

TEST_CASE("name lock: who waits has it as soon as its holder is killed", "[detached]") {
    const Records records;
    error_code ec;
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    const pid_t holder = ::fork();
    if (holder == 0) {
        error_code failed;
        const NameLock held = records.lock("train", 1s, failed);
        static_cast<void>(!::write(ready[1], "x", 1));
        for (;;) ::pause();
    }
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    std::atomic<bool> has_it{false};
    std::thread waiter([&] {
        error_code failed;
        has_it = static_cast<bool>(records.lock("train", 20s, failed));
    });
    error_code refused;
    CHECK_FALSE(records.lock("train", 50ms, refused));  // and the waiter does not have it either
    CHECK_FALSE(has_it);
    ::kill(holder, SIGKILL);
    waiter.join();
    CHECK(has_it);
    ::waitpid(holder, nullptr, 0);
    for (const int end : ready) ::close(end);
}

TEST_CASE("name lock: of many that want it at once, each has it alone", "[detached]") {
    const Records records;
    std::atomic<int> inside{0};
    std::atomic<int> faults{0};
    std::atomic<int> turns{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&] {
            for (int turn = 0; turn < 50; ++turn) {
                error_code ec;
                const NameLock held = records.lock("train", 60s, ec);
                if (!held || ++inside != 1) ++faults;
                std::this_thread::yield();
                --inside;
                ++turns;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(faults == 0);
    CHECK(turns == 400);
    CHECK_FALSE(records.are_there());
}
