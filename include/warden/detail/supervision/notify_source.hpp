// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a process says of itself to its notification socket, as sd_notify(3) writes it.
///
/// Knows:         the assignments of a message.
/// Does not know: sockets; who sent it.
/// Thread-safety: values; a source is used on the loop.

#include <warden/detail/base/unique_function.hpp>
#include <warden/fwd.hpp>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace warden::detail {

struct Notice {
    bool ready = false;                   ///< READY=1
    bool stopping = false;                ///< STOPPING=1
    bool watchdog = false;                ///< WATCHDOG=1
    bool trigger = false;                 ///< WATCHDOG=trigger: it says itself that it failed.
    std::optional<std::string> status{};  ///< STATUS=
    std::optional<Pid> main_pid{};        ///< MAINPID=

    friend bool operator==(const Notice&, const Notice&) = default;
};

/// Assignments that are not known are passed over, as others do.
[[nodiscard]] inline Notice parse_notice(std::string_view message);

/// Where the notices of one process come from.
class NotifySource {
public:
    using Take = UniqueFunction<void(const Notice&)>;

    NotifySource() = default;
    NotifySource(const NotifySource&) = delete;
    NotifySource& operator=(const NotifySource&) = delete;
    virtual ~NotifySource() = default;

    /// On the loop: `take` gets what members of the tree of `record` have said and will say, until `close` by the same
    /// owner, or until another one opens it.
    virtual void open(const void* owner, std::shared_ptr<class ProcessRecord> record, Take take) = 0;
    virtual void close(const void* owner) = 0;
};

// -- implementation ----------------------------------------------------------

inline Notice parse_notice(std::string_view message) {
    Notice notice;
    while (!message.empty()) {
        const std::string_view line = message.substr(0, message.find('\n'));
        message.remove_prefix(std::min(line.size() + 1, message.size()));
        const auto equals = line.find('=');
        if (equals == std::string_view::npos) continue;
        const std::string_view key = line.substr(0, equals);
        const std::string_view value = line.substr(equals + 1);
        if (key == "READY") notice.ready = value == "1";
        if (key == "STOPPING") notice.stopping = value == "1";
        if (key == "WATCHDOG") notice.watchdog = value == "1";
        if (key == "WATCHDOG" && value == "trigger") notice.trigger = true;
        if (key == "STATUS") notice.status = std::string(value);
        if (key != "MAINPID") continue;
        Pid pid = 0;
        const auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), pid);
        if (failed == std::errc{} && end == value.data() + value.size()) notice.main_pid = pid;
    }
    return notice;
}

}  // namespace warden::detail
