// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The log files that are open in one manager: processes whose logs have one name share one sink.
///
/// Knows:         paths in use. A file has one writer, or its bound could not be kept.
/// Does not know: what other programs write to the same directory.
/// Thread-safety: safe. The sinks themselves are written on the loop.

#include <warden/detail/logs/log_owner.hpp>
#include <warden/error.hpp>
#include <warden/logs/log_sink.hpp>
#include <warden/output/log_options.hpp>

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace warden::detail {

class OpenLogs {
public:
    /// The sink that writes `path`: the one in use, with the bounds and the owner that it has, or a new one.
    [[nodiscard]] std::shared_ptr<LogSink> open(const std::filesystem::path& path, const LogOptions& options,
                                                const LogOwner& owner, error_code& ec) {
        ec.clear();
        const std::lock_guard lock(mutex_);
        std::erase_if(sinks_, [](const auto& entry) { return entry.second.expired(); });
        if (const auto found = sinks_.find(path); found != sinks_.end()) {
            if (auto sink = found->second.lock()) return sink;
        }
        LogSink opened = LogSink::open(path, options.limits, options.on_limit, ec);
        if (ec) return nullptr;
        opened.set_owner(to_text(owner));
        auto sink = std::make_shared<LogSink>(std::move(opened));
        sinks_.insert_or_assign(path, sink);
        return sink;
    }

private:
    std::mutex mutex_;
    std::map<std::filesystem::path, std::weak_ptr<LogSink>> sinks_;
};

}  // namespace warden::detail
