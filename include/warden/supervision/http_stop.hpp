// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A step of a stop plan that asks a server to end by an HTTP request.
///
/// Knows:         HTTP/1.1 over TCP, by Boost.Beast. No TLS: meant for a server on this machine.
/// Does not know: what the server does with it; the next step of the plan comes all the same.
/// Thread-safety: values. The request is made on a thread of the manager and is given up when the step's grace is over.

#include <warden/error.hpp>
#include <warden/stop_plan.hpp>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace warden {

/// Where and how to ask.
struct HttpStop {
    std::uint16_t port = 0;
    std::string target = "/shutdown";
    std::string method = "POST";
    std::string host = "127.0.0.1";
};

/// `StopPlan{}.call(http_stop({.port = 8000}), 5s).terminate(3s).kill(2s)`. Any answer of 200 to 299 is fine; anything
/// else is reported as an event of the step.
[[nodiscard]] inline StopCall http_stop(HttpStop request);

// -- implementation ----------------------------------------------------------
namespace detail {

[[nodiscard]] inline std::string request_stop(const HttpStop& wanted, Nanoseconds grace) {
    namespace http = boost::beast::http;
    boost::asio::io_context loop;
    boost::beast::tcp_stream stream(loop);
    boost::asio::ip::tcp::resolver resolver(loop);
    stream.expires_after(std::clamp<Nanoseconds>(grace, std::chrono::milliseconds(100), std::chrono::hours(1)));
    http::request<http::empty_body> request;
    request.method_string(wanted.method);
    request.target(wanted.target);
    request.set(http::field::host, wanted.host + ':' + std::to_string(wanted.port));
    request.set(http::field::connection, "close");
    request.prepare_payload();
    boost::beast::flat_buffer buffer;
    http::response<http::string_body> response;
    error_code result;
    const auto receive = [&](const error_code& ec, std::size_t) {
        if ((result = ec)) return;
        http::async_read(stream, buffer, response, [&](const error_code& read, std::size_t) { result = read; });
    };
    error_code ec;
    const auto places = resolver.resolve(wanted.host, std::to_string(wanted.port), ec);
    if (ec) return ec.message();
    stream.async_connect(places, [&](const error_code& connected, const auto&) {
        if ((result = connected)) return;
        http::async_write(stream, request, receive);
    });
    loop.run();
    if (result && result != http::error::end_of_stream) return result.message();
    if (!result && response.result_int() / 100 != 2) return "the answer was " + std::to_string(response.result_int());
    return {};
}

}  // namespace detail

inline StopCall http_stop(HttpStop request) {
    std::string name = request.method + " http://" + request.host + ':' + std::to_string(request.port) + request.target;
    return {std::move(name),
            [wanted = std::move(request)](Pid, Nanoseconds grace) { return detail::request_stop(wanted, grace); }};
}

}  // namespace warden
