// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The log files that are open in one manager: processes whose logs have one name share one sink.
///
/// Knows:         paths in use. A file has one writer, or its bound could not be kept and lines would be lost: a log
/// that
///                another program or manager writes is left to it, and the one here gets a name of its own, with -2, -3
///                and so on before its extension.
/// Does not know: which program that is.
/// Thread-safety: safe. The sinks themselves are written on the loop.

#include <warden/detail/logs/log_owner.hpp>
#include <warden/error.hpp>
#include <warden/logs/log_sink.hpp>
#include <warden/output/log_options.hpp>

#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace warden::detail {

class OpenLogs {
public:
    /// So many names are tried.
    static constexpr int max_names = 100;

    /// The sink for `path`: the one in use here, with the bounds and the owner that it has, or a new one, at that path
    /// or a name of its own. `device_or_resource_busy`: all names are taken.
    [[nodiscard]] std::shared_ptr<LogSink> open(const std::filesystem::path& path, const LogOptions& options,
                                                const LogOwner& owner, error_code& ec) {
        ec.clear();
        const std::lock_guard lock(mutex_);
        std::erase_if(sinks_, [](const auto& entry) { return entry.second.expired(); });
        if (const auto found = sinks_.find(path); found != sinks_.end()) {
            if (auto sink = found->second.lock()) return sink;
        }
        LogSink opened = open_first_unused(path, options, ec);
        if (ec) return nullptr;
        opened.set_owner(to_text(owner));
        auto sink = std::make_shared<LogSink>(std::move(opened));
        sinks_.insert_or_assign(path, sink);
        return sink;
    }

private:
    [[nodiscard]] static LogSink open_first_unused(const std::filesystem::path& path, const LogOptions& options,
                                                   error_code& ec) {
        constexpr auto busy = boost::system::errc::device_or_resource_busy;
        for (int number = 1; number <= max_names; ++number) {
            std::filesystem::path name = path.stem();
            if (number > 1) name += "-" + std::to_string(number);
            name += path.extension();
            const std::filesystem::path candidate = path.parent_path() / name;
            if (is_log_in_use(candidate)) continue;  // before anything of it is touched
            LogSink sink = LogSink::open_alone(candidate, options.limits, options.on_limit, ec);
            if (ec != busy) return sink;
        }
        ec = condition_code(busy);
        return {};
    }

    std::mutex mutex_;
    std::map<std::filesystem::path, std::weak_ptr<LogSink>> sinks_;
};

}  // namespace warden::detail
