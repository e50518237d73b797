// SPDX-License-Identifier: MIT
// What the test programs leave behind when they are killed, and what they do about it.
#include <support/catch.hpp>
#include <support/fixture.hpp>
#include <support/run_directory.hpp>

#include <csignal>
#include <fstream>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

using support::remove_dead_runs;
using support::RunDirectory;
using support::TestDirectory;

namespace {

using Path = std::filesystem::path;

/// A pid that nobody has any more.
pid_t dead_pid() {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(0);
    REQUIRE(::waitpid(child, nullptr, 0) == child);
    return child;
}

Path make_run(const TestDirectory& above, pid_t owner, const std::string& letters = "abcdef") {
    const Path run = above / ("warden-tests-" + std::to_string(owner) + '-' + letters);
    std::filesystem::create_directories(run / "below");
    std::ofstream(run / "below/file") << "text\n";
    return run;
}

}  // namespace

TEST_CASE("run directory: what a killed run left is removed by the next one") {
    const TestDirectory above;
    const pid_t run = ::fork();
    if (run == 0) {
        const RunDirectory directory(above.path());
        std::ofstream(directory.path() / "file") << "text\n";
        ::raise(SIGKILL);
    }
    REQUIRE(::waitpid(run, nullptr, 0) == run);
    CHECK_FALSE(std::filesystem::is_empty(above.path()));
    CHECK(remove_dead_runs(above.path()) == 1);
    CHECK(std::filesystem::is_empty(above.path()));
}

TEST_CASE("run directory: one in use stays, by its pid and by its lock, and goes with its object") {
    const TestDirectory above;
    const Path mine = make_run(above, ::getpid());
    {
        const RunDirectory used(above.path());
        const Path looks_dead = above / ("warden-tests-" + std::to_string(dead_pid()) + "-locked");
        std::filesystem::rename(used.path(), looks_dead);  // as a process in another namespace of pids has it
        CHECK(remove_dead_runs(above.path()) == 0);
        CHECK(std::filesystem::exists(looks_dead));
        std::filesystem::rename(looks_dead, used.path());
    }
    CHECK(std::filesystem::exists(mine));
    CHECK(std::distance(std::filesystem::directory_iterator(above.path()), {}) == 1);
}

TEST_CASE("run directory: nothing else is touched") {
    const TestDirectory above;
    const TestDirectory elsewhere;
    const std::string dead = "warden-tests-" + std::to_string(dead_pid());
    const Path kept = make_run(elsewhere, ::getpid());
    std::filesystem::create_directory_symlink(elsewhere.path(), above / (dead + "-linked"));
    std::ofstream(above / (dead + "-a_file")) << "text\n";
    for (const std::string& name : {dead, dead + "-short", dead + "-toolong", dead + "abcdef", dead + "_abcdef",
                                    std::string("warden-tests-abcdef"), std::string("warden-tests--1-abcdef"),
                                    std::string("warden-tests-0-abcdef"), std::string("other-1-abcdef")})
        std::filesystem::create_directory(above / name);
    CHECK(remove_dead_runs(above.path()) == 0);
    CHECK(std::distance(std::filesystem::directory_iterator(above.path()), {}) == 11);
    CHECK(std::filesystem::exists(kept / "below/file"));
    if (::geteuid() != 0) return;
    const Path foreign = make_run(above, dead_pid());
    REQUIRE(::chown(foreign.c_str(), 1234, 1234) == 0);
    CHECK(remove_dead_runs(above.path()) == 0);
}

TEST_CASE("run directory: no more are removed than one run should spend its time on") {
    const TestDirectory above;
    const pid_t dead = dead_pid();
    for (const char* letters : {"aaaaaa", "bbbbbb", "cccccc"}) make_run(above, dead, letters);
    CHECK(remove_dead_runs(above.path(), 2) == 2);
    CHECK(remove_dead_runs(above.path(), 2) == 1);
    CHECK(remove_dead_runs(above / "missing") == 0);
}
