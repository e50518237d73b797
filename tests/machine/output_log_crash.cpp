// SPDX-License-Identifier: MIT
#include <warden/platform.hpp>

#if WARDEN_OS_LINUX
#include "output_log_directory.hpp"
#include <support/catch.hpp>
#include <warden/logs/log_sink.hpp>

#include <csignal>
#include <string>

#include <sys/ptrace.h>
#include <sys/wait.h>

using namespace log_test;
using warden::error_code;
using warden::LogLimits;
using warden::LogSink;
using warden::OnLimit;

namespace {

/// Runs `work` in a child that is killed at its `stop`-th entry to or return from a system call. False if it ended
/// before that; nothing if this program may not trace its child.
template <class Work>
std::optional<bool> killed_at(int stop, Work work) {
    const ::pid_t child = ::fork();
    if (child == 0) {
        ::alarm(60);
        if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(3);
        ::raise(SIGSTOP);
        work();
        ::_exit(0);
    }
    int status = 0;
    if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) return std::nullopt;
    for (int i = 0; i < stop; ++i) {
        if (::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) != 0) break;
        if (::waitpid(child, &status, 0) == child && !WIFSTOPPED(status)) return false;
    }
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    return true;
}

}  // namespace

TEST_CASE("log sink: a host killed at any system call leaves whole lines, and the next open tidies up") {
    const LogLimits limits{100, 400};
    for (const OnLimit on_limit : {OnLimit::keep_newest, OnLimit::rotate(2)}) {
        const std::size_t kept = on_limit.kept_files();
        int kills = 0;
        for (int stop = 1;; ++stop) {
            const Directory directory;
            const auto path = directory / "a.log";
            const auto killed = killed_at(stop, [&] {
                error_code ec;
                LogSink sink = LogSink::open(path, limits, on_limit, ec);
                for (std::size_t i = 0; i < 30; ++i) {  // lines in two halves, so that one is always unfinished
                    const std::string text = numbered_line(i) + numbered_line(i + 1).substr(0, 15);
                    sink.write(std::string_view(text).substr(i == 0 ? 0 : 15));
                }
            });
            if (!killed) {
                WARN("SKIPPED: no right to trace a child");
                return;
            }
            if (!*killed) break;
            ++kills;
            INFO("killed at stop " << stop << (on_limit.rotates() ? ", rotating" : ", keeping the newest"));
            const bool existed = std::filesystem::exists(path);
            const auto before = slurp(path);
            error_code ec;
            LogSink sink = LogSink::open(path, limits, on_limit, ec);
            REQUIRE_FALSE(ec);
            const std::string text = whole_log(path, kept);
            CHECK((!existed || slurp(path) == before));
            CHECK(consecutive_numbers(text).has_value());
            for (const auto& name : directory.names()) CHECK(name.starts_with("a.log"));
            CHECK(directory.names().size() <= kept + 1);
            const std::size_t start = text.rfind('\n') + 1;  // the next number, of which the beginning is there
            const std::size_t next = text.empty() ? 0
                                                  : std::strtoul(text.substr(0, 9).c_str(), nullptr, 10) +
                                                        count_lines(text.substr(0, start));
            sink.write(std::string_view(numbered_line(next)).substr(text.size() - start));
            const auto after = consecutive_numbers(whole_log(path, kept));
            REQUIRE(after.has_value());
            CHECK(after->back() == next);
            CHECK(after->size() > std::min<std::size_t>(next, 2));
        }
        CHECK(kills > 100);
    }
}
#endif
