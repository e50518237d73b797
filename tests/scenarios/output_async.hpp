// SPDX-License-Identifier: MIT
// What the scenarios of asynchronous operations have in common.
#pragma once

#include <scenarios/output.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>

#include <future>
#include <memory>
#include <tuple>

namespace support {

inline const warden::error_code aborted = boost::asio::error::operation_aborted;
inline const warden::error_code end_of_output = boost::asio::error::eof;

/// Futures that are made ready on a thread of this object: left to itself, Asio starts some that never end. To be made
/// before the manager, whose thread posts there.
class Futures {
public:
    [[nodiscard]] auto operator()() {
        return boost::asio::bind_executor(pool_.get_executor(), boost::asio::use_future);
    }

private:
    boost::asio::thread_pool pool_{1};
};

/// Runs `coroutine` on the thread of the test. `context` is to be made before the manager.
template <class Coroutine>
void run(boost::asio::io_context& context, Coroutine coroutine) {
    bool is_whole = false;
    boost::asio::co_spawn(context, std::move(coroutine), [&](const std::exception_ptr& error) { is_whole = !error; });
    context.run();
    CHECK(is_whole);
}

/// What an operation completed with, as a value: an exception that two threads share is more than the thread sanitizer
/// can follow.
template <class... Results, class Start>
std::future<std::tuple<warden::error_code, Results...>> outcome(Start start) {
    auto promise = std::make_shared<std::promise<std::tuple<warden::error_code, Results...>>>();
    start([promise](const warden::error_code& ec, Results... results) {
        promise->set_value({ec, std::move(results)...});
    });
    return promise->get_future();
}

/// A cancellation slot of somebody's own, as of a stop token, for something that is cancelled already.
struct TriggeredSlot {
    [[nodiscard]] bool is_connected() const noexcept { return true; }
    template <class Handler>
    void assign(Handler handler) {
        handler(boost::asio::cancellation_type::total);
    }
    void clear() noexcept {}
    friend bool operator==(const TriggeredSlot&, const TriggeredSlot&) = default;
};

template <class... Results, class Start>
warden::error_code code_of(Start start) {
    return std::get<0>(outcome<Results...>(std::move(start)).get());
}

/// The next line, or why there is none.
inline std::future<std::tuple<warden::error_code, std::string>> line_of(warden::ManagedProcess& process) {
    return outcome<std::string>([&](auto done) { process.async_read_line(std::move(done)); });
}

inline std::future<std::tuple<warden::error_code, warden::CompletedProcess>> communication(
    warden::ManagedProcess& process, std::string input, warden::Timeout timeout) {
    return outcome<warden::CompletedProcess>(
        [&](auto done) { process.async_communicate(std::move(input), timeout, std::move(done)); });
}

/// Starts an operation with a cancellation slot and cancels it. The code that it completed with.
template <class... Results, class Start>
warden::error_code cancelled(Start start) {
    boost::asio::cancellation_signal signal;
    std::promise<warden::error_code> code;
    start(boost::asio::bind_cancellation_slot(signal.slot(),
                                              [&](const warden::error_code& ec, Results...) { code.set_value(ec); }));
    signal.emit(boost::asio::cancellation_type::total);
    return code.get_future().get();
}

}  // namespace support
