// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The signals that ask the program to end, as one manager hears of them: on its loop.
///
/// Knows:         the sockets between the signal handlers and the loop.
/// Does not know: what is done then.
/// Thread-safety: `start` and `stop` are not for the loop; `close` is; the rest is safe.

#include <warden/detail/base/unique_function.hpp>
#include <warden/detail/runtime/io_loop.hpp>
#include <warden/detail/runtime/set_up_error.hpp>
#include <warden/detail/runtime/termination_signals_posix.hpp>
#include <warden/detail/system/descriptor_watch.hpp>
#include <warden/detail/system/pipe_posix.hpp>

#if WARDEN_OS_POSIX
#include <optional>
#include <utility>

#include <unistd.h>

namespace warden::detail {

class HostSignals {
public:
    explicit HostSignals(IoLoop& loop) : read_(loop.context()) {}

    /// From now on `on_signal` is called on the loop for each SIGTERM, SIGINT and SIGHUP.
    [[nodiscard]] std::optional<SetUpError> start(UniqueFunction<void(int signal)> on_signal);

    /// Takes the handlers back. Does nothing if there are none.
    void stop() {
        if (write_) TerminationSignals::instance().remove(write_.get());
    }
    /// After `stop`, when nothing of the manager runs any more. A signal that came meanwhile takes its usual effect:
    /// may not return then.
    void close();

    /// The manager has done what `signal` asks for. When all have, it takes its usual effect: may not return.
    static void finished(int signal) { TerminationSignals::instance().finished(signal); }
    /// Whether our handlers are in place.
    [[nodiscard]] static bool installed() { return TerminationSignals::instance().installed(); }

private:
    void listen();

    UniqueFunction<void(int)> on_signal_;
    UniqueFd write_;
    DescriptorWatch read_;
};

// -- implementation ----------------------------------------------------------

inline std::optional<SetUpError> HostSignals::start(UniqueFunction<void(int)> on_signal) {
    on_signal_ = std::move(on_signal);
    auto [to_read, to_write] = make_closed_sockets();
    if (!to_read) return SetUpError{system_code(errno), "no sockets for the signal handlers"};
    make_nonblocking(to_read.get());
    make_nonblocking(to_write.get());
    if (const error_code ec = read_.open(std::move(to_read))) return SetUpError{ec, "no watch for the signal handlers"};
    if (!TerminationSignals::instance().add(to_write.get())) {
        return SetUpError{errc::invalid_configuration,
                          "more managers handle signals than there is room for; set handle_signals = false"};
    }
    write_ = std::move(to_write);
    listen();
    return std::nullopt;
}

inline void HostSignals::close() {
    if (!read_.is_open()) return;
    unsigned char number = 0;
    while (::read(read_.get(), &number, 1) == 1) finished(number);
    read_.close();
}

inline void HostSignals::listen() {
    read_.wait_readable([this](const error_code& ec) {
        if (ec) return;
        unsigned char number = 0;
        while (::read(read_.get(), &number, 1) == 1) on_signal_(number);
        listen();
    });
}

}  // namespace warden::detail
#endif
