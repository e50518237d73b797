// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What a directory of logs says of one file.
///
/// Thread-safety: values.

#include <warden/detail/logs/log_access.hpp>
#include <warden/detail/logs/stream_mark.hpp>

#include <chrono>
#include <string>

namespace warden::detail {

/// A file that may be a log: regular, of this user, with a single name.
struct StoredFile {
    LogStatus status{};
    std::chrono::system_clock::time_point written{};
    StreamMark mark{};    ///< By a `LogSink`; empty if it has none.
    std::string owner{};  ///< See `LogOwner`; as text, which may be anybody's.

    friend bool operator==(const StoredFile& a, const StoredFile& b) {
        return a.status.identity == b.status.identity && a.written == b.written;
    }
};

}  // namespace warden::detail
