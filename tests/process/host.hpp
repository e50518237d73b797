// SPDX-License-Identifier: MIT
// A program that embeds warden, started by a test: tests/host/main.cpp.
#pragma once

#include <support/fixture.hpp>

#include <csignal>
#include <set>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

namespace support {

inline constexpr const char* signals_are_kept =
    "the thread sanitizer keeps back a signal that comes between two calls that wait, at times for ever";

/// A program that embeds warden, with one process, until `go` lets it come to its end.
class Host {
public:
    /// `wrapper` is a program, with its arguments, that runs it.
    Host(warden::Mechanism mechanism, const std::string& kind, const std::string& ending,
         std::vector<std::string> wrapper = {})
        : before_(descendants()), handshake_(directory_ / "fifo") {
        const std::string data = directory_ / "data";
        const std::string out = directory_ / "out";
        std::vector<std::string> words = std::move(wrapper);
        for (const std::string& word : {std::string(WARDEN_TEST_HOST), std::string(warden::to_string(mechanism)), kind,
                                        handshake_.path(), ending, data})
            words.push_back(word);
        std::vector<char*> argv;
        for (const auto& word : words) argv.push_back(const_cast<char*>(word.c_str()));
        argv.push_back(nullptr);
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        go_ = ends[1];
        posix_spawn_file_actions_t actions;
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawn_file_actions_adddup2(&actions, ends[0], 0);
        ::posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        ::posix_spawn_file_actions_adddup2(&actions, 1, 2);
        const int failed = ::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
        ::posix_spawn_file_actions_destroy(&actions);
        ::close(ends[0]);
        REQUIRE(failed == 0);
        for (bool is_named = false; member_ == 0 || !is_named;) {
            const auto line = handshake_.line(std::chrono::seconds(30));
            INFO(output());
            REQUIRE(line);
            const std::string word = line->substr(0, line->find(' '));
            const std::string value = line->substr(word.size() + 1);
            if (word == "ready") member_ = static_cast<pid_t>(std::atoi(value.c_str()));
            if (word == "group") expect_no_control_group(value);
            if (word != "guardian") continue;
            guardian_ = static_cast<pid_t>(std::atoi(value.c_str()));  // 0 where there is none
            is_named = true;
        }
    }
    Host(const Host&) = delete;
    ~Host() {
        if (go_ >= 0) ::close(go_);
        for (const pid_t pid : mine()) ::kill(pid, SIGKILL);
        static_cast<void>(all_gone(std::chrono::seconds(10)));
    }

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] pid_t member() const { return member_; }
    [[nodiscard]] pid_t guardian() const { return guardian_; }
    [[nodiscard]] std::string output() const { return read_file((directory_ / "out").string()); }
    [[nodiscard]] Handshake& handshake() { return handshake_; }
    [[nodiscard]] const TestDirectory& directory() const { return directory_; }

    void go() {
        CHECK(::write(go_, "g", 1) == 1);
        ::close(go_);
        go_ = -1;
        CHECK(handshake_.line() == "going");  // no signal comes in the middle of its read(2)
    }
    /// Waits for its end; the status as of waitpid.
    [[nodiscard]] int status() {
        int status = -1;
        const bool ended = eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; });
        CHECK(ended);
        return status;
    }
    /// Whether everything that began below this process since then is gone within that time; zombies are reaped, as an
    /// init would.
    [[nodiscard]] bool all_gone(std::chrono::milliseconds patience, pid_t but = 0) {
        return eventually(
            [&] {
                bool any = false;
                for (const pid_t pid : mine()) {
                    if (pid == but) continue;
                    any = true;
                    ::waitpid(pid, nullptr, WNOHANG | __WALL);
                }
                return !any;
            },
            patience);
    }
    [[nodiscard]] std::string leftovers() const {
        std::string text;
        for (const pid_t pid : mine()) text += std::to_string(pid) + ": " + describe_process(pid) + '\n';
        return text;
    }

private:
    [[nodiscard]] std::vector<pid_t> mine() const {
        const std::set<pid_t> kept(before_.begin(), before_.end());
        std::vector<pid_t> found;
        for (const pid_t pid : descendants()) {
            if (kept.count(pid) == 0) found.push_back(pid);
        }
        return found;
    }

    TestDirectory directory_;
    std::vector<pid_t> before_;
    Handshake handshake_;
    int go_ = -1;
    pid_t pid_ = 0;
    pid_t member_ = 0;
    pid_t guardian_ = 0;
};

}  // namespace support
