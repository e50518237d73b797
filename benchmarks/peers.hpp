// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The peers: each starts the same program with the null device as input and a pipe for each output, reads both pipes
/// to their end, waits for the exit, and returns the exit code.

#include "bench.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/readable_pipe.hpp>
#include <boost/process/v2/process.hpp>
#include <boost/process/v2/stdio.hpp>
#include <boost/version.hpp>

#include <array>
#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <poll.h>
#include <sys/stat.h>

#if defined(WARDEN_BENCH_HAS_LIBUV)
#include <uv.h>
#endif
#if defined(WARDEN_BENCH_HAS_GLIB)
#include <glib.h>

#include <glib-unix.h>
#endif

namespace bench {

inline constexpr std::size_t read_bytes = 64 * 1024;

/// Reads both until their end, and closes them.
inline void read_to_end(int a, int b) {
    static std::array<char, read_bytes> buffer;
    std::array<pollfd, 2> pipes{pollfd{a, POLLIN, 0}, pollfd{b, POLLIN, 0}};
    for (int open = 2; open > 0;) {
        if (::poll(pipes.data(), pipes.size(), -1) < 0) continue;
        for (auto& pipe : pipes) {
            if (pipe.fd < 0 || pipe.revents == 0 || ::read(pipe.fd, buffer.data(), buffer.size()) > 0) continue;
            ::close(pipe.fd);
            pipe.fd = -1;
            --open;
        }
    }
}

/// posix_spawn, poll, read, waitpid: what has to be done at least.
class RawPeer {
public:
    explicit RawPeer(std::string program) : words_{std::move(program)} {}

    int run(const std::function<void(pid_t)>& started = {}) {
        int out[2];
        int err[2];
        if (::pipe2(out, O_CLOEXEC) != 0 || ::pipe2(err, O_CLOEXEC) != 0) die_errno("pipe2");
        const pid_t pid = start(words_, -1, out[1], err[1]);
        if (started) started(pid);
        ::close(out[1]);
        ::close(err[1]);
        read_to_end(out[0], err[0]);
        const int status = wait_for(pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

private:
    std::vector<std::string> words_;
};

/// The same in a control group made for each child. The child is moved there after its start, so it may be too late:
/// that is the price of posix_spawn, and not counted as a failure.
class RawCgroupPeer {
public:
    explicit RawCgroupPeer(std::string program) : raw_(std::move(program)) {
        std::ifstream mounts("/proc/self/mountinfo");
        for (std::string line; std::getline(mounts, line);) {
            if (line.find(" - cgroup2 ") == std::string::npos) continue;
            std::istringstream fields(line);
            for (int i = 0; i < 5; ++i) fields >> mount_;
        }
        std::ifstream groups("/proc/self/cgroup");
        for (std::string line; std::getline(groups, line);) {
            if (line.starts_with("0::/"))
                group_ = mount_ + line.substr(3) + "/warden-bench-" + std::to_string(::getpid());
        }
    }
    [[nodiscard]] bool usable() const {
        return !mount_.empty() && !group_.empty() && ::mkdir(group_.c_str(), 0755) == 0 && ::rmdir(group_.c_str()) == 0;
    }
    int run() {
        if (::mkdir(group_.c_str(), 0755) != 0) die_errno(group_);
        const int code = raw_.run([&](pid_t pid) {
            const int procs = ::open((group_ + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
            const std::string text_of = std::to_string(pid);
            static_cast<void>(!::write(procs, text_of.data(), text_of.size()));
            ::close(procs);
        });
        while (::rmdir(group_.c_str()) != 0) {
            if (errno != EBUSY) die_errno(group_);
        }
        return code;
    }

private:
    RawPeer raw_;
    std::string mount_;
    std::string group_;
};

/// Boost.Process v2 with its default launcher.
class BoostPeer {
public:
    explicit BoostPeer(std::string program) : program_(std::move(program)) {}

    int run() {
        boost::asio::readable_pipe out(context_);
        boost::asio::readable_pipe err(context_);
        boost::process::v2::process child(context_, program_, {}, boost::process::v2::process_stdio{nullptr, out, err});
        read(out, buffers_[0]);
        read(err, buffers_[1]);
        context_.restart();
        context_.run();
        return child.wait();
    }

private:
    using Buffer = std::array<char, read_bytes>;
    static void read(boost::asio::readable_pipe& pipe, Buffer& buffer) {
        pipe.async_read_some(boost::asio::buffer(buffer), [&](const boost::system::error_code& ec, std::size_t) {
            if (!ec) read(pipe, buffer);
        });
    }

    std::string program_;
    boost::asio::io_context context_{1};
    std::array<Buffer, 2> buffers_{};
};

/// The handler of SIGCHLD that a library installed is in force only while that library is at work, so that nobody
/// else's system calls are interrupted by it.
class OwnChildHandler {
public:
    template <class F>
    int with(F f) {
        struct sigaction before {};
        if (has_mine_) ::sigaction(SIGCHLD, &mine_, &before);
        const int code = f();
        ::sigaction(SIGCHLD, nullptr, &mine_);
        has_mine_ = true;
        struct sigaction usual {};
        usual.sa_handler = SIG_DFL;
        ::sigaction(SIGCHLD, &usual, nullptr);
        return code;
    }

private:
    struct sigaction mine_ {};
    bool has_mine_ = false;
};

#if defined(WARDEN_BENCH_HAS_LIBUV)
class LibuvPeer {
public:
    explicit LibuvPeer(std::string program) : program_(std::move(program)) { uv_loop_init(&loop_); }
    LibuvPeer(const LibuvPeer&) = delete;

    int run() {
        return handler_.with([this] { return run_once(); });
    }

private:
    int run_once() {
        uv_process_t child{};
        std::array<uv_pipe_t, 2> pipes{};
        std::array<uv_stdio_container_t, 3> stdio{};
        stdio[0].flags = UV_IGNORE;
        for (std::size_t i = 0; i < 2; ++i) {
            uv_pipe_init(&loop_, &pipes[i], 0);
            pipes[i].data = this;
            stdio[i + 1].flags = static_cast<uv_stdio_flags>(UV_CREATE_PIPE | UV_WRITABLE_PIPE);
            stdio[i + 1].data.stream = reinterpret_cast<uv_stream_t*>(&pipes[i]);
        }
        std::array<char*, 2> argv{program_.data(), nullptr};
        uv_process_options_t options{};
        options.file = program_.c_str();
        options.args = argv.data();
        options.stdio_count = 3;
        options.stdio = stdio.data();
        options.exit_cb = [](uv_process_t* ended, std::int64_t code, int) {
            static_cast<LibuvPeer*>(ended->data)->code_ = static_cast<int>(code);
            uv_close(reinterpret_cast<uv_handle_t*>(ended), nullptr);
        };
        child.data = this;
        if (uv_spawn(&loop_, &child, &options) != 0) die("uv_spawn failed");
        for (auto& pipe : pipes) {
            uv_read_start(
                reinterpret_cast<uv_stream_t*>(&pipe),
                [](uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
                    auto& own = static_cast<LibuvPeer*>(handle->data)->buffer_;
                    *buffer = uv_buf_init(own.data(), static_cast<unsigned>(own.size()));
                },
                [](uv_stream_t* stream, ssize_t size, const uv_buf_t*) {
                    if (size < 0) uv_close(reinterpret_cast<uv_handle_t*>(stream), nullptr);
                });
        }
        uv_run(&loop_, UV_RUN_DEFAULT);
        return code_;
    }

    std::string program_;
    uv_loop_t loop_{};
    std::array<char, read_bytes> buffer_{};
    OwnChildHandler handler_;
    int code_ = -1;
};
inline const std::string libuv_version = std::string("libuv ") + uv_version_string();
#else
inline const std::string libuv_version = "libuv is not installed";
#endif

#if defined(WARDEN_BENCH_HAS_GLIB)
class GlibPeer {
public:
    explicit GlibPeer(std::string program) : program_(std::move(program)) {}

    int run() {
        return handler_.with([this] { return run_once(); });
    }

private:
    int run_once() {
        std::array<char*, 2> argv{program_.data(), nullptr};
        GPid pid = 0;
        int out = -1;
        int err = -1;
        if (!g_spawn_async_with_pipes(nullptr, argv.data(), nullptr, G_SPAWN_DO_NOT_REAP_CHILD, nullptr, nullptr, &pid,
                                      nullptr, &out, &err, nullptr)) {
            die("g_spawn_async_with_pipes failed");
        }
        open_ = 3;
        const auto readable = [](int fd, GIOCondition, gpointer self) -> gboolean {
            auto& peer = *static_cast<GlibPeer*>(self);
            if (::read(fd, peer.buffer_.data(), peer.buffer_.size()) > 0) return G_SOURCE_CONTINUE;
            ::close(fd);
            --peer.open_;
            return G_SOURCE_REMOVE;
        };
        constexpr auto ready = static_cast<GIOCondition>(G_IO_IN | G_IO_HUP | G_IO_ERR);
        g_unix_fd_add(out, ready, readable, this);
        g_unix_fd_add(err, ready, readable, this);
        g_child_watch_add(
            pid,
            [](GPid ended, int status, gpointer self) {
                auto& peer = *static_cast<GlibPeer*>(self);
                peer.code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
                g_spawn_close_pid(ended);
                --peer.open_;
            },
            this);
        while (open_ > 0) g_main_context_iteration(nullptr, TRUE);
        return code_;
    }

    std::string program_;
    std::array<char, read_bytes> buffer_{};
    OwnChildHandler handler_;
    int open_ = 0;
    int code_ = -1;
};
inline const std::string glib_version = "GLib " + std::to_string(glib_major_version) + "." +
                                        std::to_string(glib_minor_version) + "." + std::to_string(glib_micro_version);
#else
inline const std::string glib_version = "GLib is not installed";
#endif

}  // namespace bench
