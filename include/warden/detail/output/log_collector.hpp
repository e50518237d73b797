// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Follows a log file that a process writes itself, and brings its lines to where the output of the process goes.
///
/// Knows:         when there may be more to read, and how much to read in one turn.
/// Does not know: who writes the file, or when that ends.
/// Thread-safety: on the loop, after `start`.

#include <warden/detail/logs/loop_wait.hpp>
#include <warden/detail/output/output_router.hpp>
#include <warden/detail/runtime/io_loop.hpp>
#include <warden/logs/log_follower.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

namespace warden::detail {

class LogCollector : public std::enable_shared_from_this<LogCollector> {
public:
    LogCollector(IoLoop& loop, LogFollower follower, std::shared_ptr<OutputRouter> router)
        : loop_(loop), follower_(std::move(follower)), router_(std::move(router)), news_(loop.context()) {}
    ~LogCollector() { close(); }

    void start() {
        error_code ec;
        news_.assign(LogFollowerAccess::wait_handle(follower_), ec);
        throw_if(ec, "cannot wait for the log");
        turn();
    }

    /// Reads what is there now, and not much more: a writer that goes on cannot keep this going.
    void drain_now() {
        for (int turns = 0; turns < 64 && read_some(); ++turns) {}
    }

    /// The last of it, an unterminated line too. The file is not followed any more.
    void finish() {
        if (!news_.is_open()) return;
        drain_now();
        std::string rest;
        while (const auto line = follower_.finish()) rest.append(line->text).push_back('\n');
        if (!rest.empty()) router_->collect(rest, 0);
        close();
    }

private:
    static constexpr std::size_t turn_bytes = std::size_t{64} << 10;

    /// Whether there may be more.
    bool read_some() {
        std::string lines;
        std::uint64_t lost = 0;
        bool more = true;
        while (lines.size() < turn_bytes) {
            error_code ec;  // a directory that is gone may come again
            const auto line = follower_.try_next(ec);
            more = line.has_value();
            if (!more) break;
            lines.append(line->text).push_back('\n');
            lost += line->gap_bytes;
        }
        if (!lines.empty()) router_->collect(lines, lost);
        return more;
    }

    void turn() {
        if (!news_.is_open()) return;
        if (read_some()) return loop_.post([self = shared_from_this()] { self->turn(); });
        news_.async_wait([weak = weak_from_this()] {
            if (const auto self = weak.lock()) self->turn();
        });
    }

    void close() { news_.close(); }

    IoLoop& loop_;
    LogFollower follower_;
    const std::shared_ptr<OutputRouter> router_;
    LoopWait news_;
};

}  // namespace warden::detail
