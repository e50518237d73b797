// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// What to wait for until a detached process has ended: the answer of its shim, or the end of that. In steps, so that
/// a thread or an execution context can do the waiting.
///
/// Does not know: records; after each step that brought no status the record is to be read again.
/// Thread-safety: one thread at a time.
/// Errors:        system_error if the shim did not answer time and again, and nothing says that it has ended.
/// Waits:         never, but for room for one short line in a socket that is empty.

#include <warden/detail/detached/shim_client_posix.hpp>

#if WARDEN_OS_POSIX
#include <exception>
#include <filesystem>
#include <optional>
#include <utility>

namespace warden::detail {

class ShimWait {
public:
    ShimWait(std::filesystem::path data_directory, const Uuid& uuid)
        : data_directory_(std::move(data_directory)), uuid_(uuid) {}

    /// What to await to be readable before `take`; -1 if the record is to be read again. It stays this object's.
    [[nodiscard]] int begin(const DetachedInfo& info);

    struct Step {
        std::optional<ExitStatus> status{};
        bool is_incomplete = false;  ///< Await the same once more.
    };
    [[nodiscard]] Step take();

private:
    void ask();

    static constexpr int max_failures = 5;
    std::filesystem::path data_directory_;
    Uuid uuid_;
    LineChannel channel_;
    UniqueFd shim_;
    error_code error_;  // of the socket
    int failures_ = 0;
};

// -- implementation ----------------------------------------------------------

inline void ShimWait::ask() {
    std::string why;
    const RecordFiles files = RecordFiles::open(data_directory_, false, error_, why);
    if (error_) return;
    channel_ = LineChannel(connect_at({files.descriptor(), files.path()}, RecordFiles::socket_name_of(uuid_), error_));
    if (!error_) error_ = channel_.send("{\"version\":1,\"op\":\"wait\"}", patience_after({}));
    if (error_) channel_.close();
}

inline int ShimWait::begin(const DetachedInfo& info) {
    channel_.close();
    shim_.reset();
    if (!error_) ask();
    if (channel_) return channel_.descriptor();
    Sighting shim = look_for(own_pid_space(), info.record.shim);
    if (shim.presence == Presence::alive && shim.pidfd) {  // it takes no more connections, or ends
        shim_ = std::move(shim.pidfd);
        return shim_.get();
    }
    // One that ends has written the record before it closes a connection.
    if (++failures_ >= max_failures) throw system_error(error_, "its shim does not answer");
    error_.clear();
    return -1;
}

inline ShimWait::Step ShimWait::take() {
    if (!channel_) return {};
    const std::string line = channel_.receive(SteadyTime::min(), error_);
    if (error_ == errc::timed_out) {
        error_.clear();
        return {std::nullopt, true};
    }
    if (error_) return {};
    try {
        return {status_of(parse_bytes(line).at("status")), false};
    } catch (const std::exception&) {
        error_ = make_error_code(boost::system::errc::bad_message);
        return {};
    }
}

}  // namespace warden::detail
#endif
