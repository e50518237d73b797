// SPDX-License-Identifier: MIT
// What tests of detached processes need: a data directory of their own, and an end for everything that was started.
#pragma once

#include <support/fixture.hpp>
#include <warden/detached/detached.hpp>

#include <algorithm>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern "C" {
extern char** environ;
}

namespace support {

/// Detached processes of one test. What still runs in the end is stopped, and its shims, which fall to this process,
/// are reaped.
class DetachedRun {
public:
    explicit DetachedRun(warden::Mechanism mechanism) : mechanism_(mechanism), before_(descendants()) {}
    DetachedRun(const DetachedRun&) = delete;
    ~DetachedRun() {
        for (const auto& one : processes().list()) {
            warden::error_code ec;
            if (one.is_active()) static_cast<void>(processes().find(one.record.uuid).force_stop());
        }
        if (!shims_are_gone()) {
            for (const pid_t pid : mine()) ::kill(pid, SIGKILL);
            static_cast<void>(shims_are_gone());
        }
    }

    [[nodiscard]] warden::ManagerConfig config() const {
        warden::ManagerConfig config;
        config.mechanism = mechanism_;
        config.handle_signals = false;
        config.data_directory = directory_ / "data";
        config.shim_program = WARDEN_TEST_HOST;
        return config;
    }
    [[nodiscard]] warden::DetachedProcesses processes() const { return warden::DetachedProcesses(config()); }
    [[nodiscard]] const TestDirectory& directory() const { return directory_; }

    /// The names in the directory of records.
    [[nodiscard]] std::vector<std::string> files() const {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(directory_ / "data" / "detached"))
            names.push_back(entry.path().filename().string());
        return names;
    }

    /// Whether everything has ended that was started since; zombies are reaped, as an init would.
    [[nodiscard]] bool shims_are_gone(std::chrono::milliseconds patience = std::chrono::seconds(10)) const {
        return eventually(
            [&] {
                const auto left = mine();
                for (const pid_t pid : left) ::waitpid(pid, nullptr, WNOHANG | __WALL);
                return left.empty();
            },
            patience);
    }

private:
    [[nodiscard]] std::vector<pid_t> mine() const {
        std::vector<pid_t> found = descendants();
        std::erase_if(found,
                      [&](pid_t pid) { return std::find(before_.begin(), before_.end(), pid) != before_.end(); });
        return found;
    }

    TestDirectory directory_;
    warden::Mechanism mechanism_;
    std::vector<pid_t> before_;
};

/// Starts a program in a process group of its own; `output` becomes the end at which its stdout is read.
[[nodiscard]] inline pid_t start_in_own_group(std::vector<std::string> words, int& output) {
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    output = ends[0];
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    pid_t pid = 0;
    const int failed = ::posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    REQUIRE(failed == 0);
    return pid;
}

/// A program that has started a detached process: `host detach`, in a process group of its own.
class DetachingHost {
public:
    DetachingHost(const DetachedRun& run, const std::string& ending, std::vector<std::string> command) {
        const warden::ManagerConfig config = run.config();
        std::vector<std::string> words{WARDEN_TEST_HOST, "detach", std::string(to_string(config.mechanism)),
                                       config.data_directory.string(), ending};
        words.insert(words.end(), command.begin(), command.end());
        int output = -1;
        pid_ = start_in_own_group(std::move(words), output);
        char text[64] = {};
        static_cast<void>(!::read(output, text, sizeof text - 1));
        ::close(output);
        uuid_ = std::string(text).substr(0, 36);
    }
    DetachingHost(const DetachingHost&) = delete;
    ~DetachingHost() {
        if (pid_ > 0) kill_group();
    }

    [[nodiscard]] const std::string& uuid() const { return uuid_; }
    void kill_group() {
        ::kill(-pid_, SIGKILL);
        static_cast<void>(status());
    }
    /// As of waitpid.
    int status() {
        int status = -1;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
        pid_ = 0;
        return status;
    }

private:
    pid_t pid_ = 0;
    std::string uuid_;
};

}  // namespace support
