// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// A probe that makes an HTTP request and looks at the answer.
///
/// Knows:         HTTP/1.1 over TCP, by Boost.Beast. No TLS and no redirects: meant for a server on this machine.
/// Does not know: when attempts are made.
/// Thread-safety: values. An attempt runs on a callback thread of the manager, and ends with its timeout.
/// Errors:        `Probe::validate`; the reason of an attempt.

#include <warden/detail/supervision/function_check.hpp>
#include <warden/detail/supervision/probe_attempt.hpp>
#include <warden/error.hpp>
#include <warden/supervision/probe.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden {

/// What to ask, and which answer is good.
struct HttpProbe {
    std::uint16_t port = 0;
    std::string target = "/";
    std::string method = "GET";
    std::string host = "127.0.0.1";  ///< A numeric address.
    std::map<std::string, std::string> headers{};
    unsigned min_status = 200;    ///< 100 to 599.
    unsigned max_status = 299;    ///< From `min_status` to 599.
    std::string body_contains{};  ///< Empty: any body is good.
    /// An answer with a longer body is a failure; 1 to 16 MiB.
    std::size_t max_body_bytes = std::size_t{1} << 20;

    static constexpr std::size_t highest_max_body_bytes = std::size_t{1} << 24;
};

/// `watch_readiness(process, http_probe({.port = 8000, .target = "/health"}))`. As with `Probe::tcp`, the listener must
/// be of the tree of the process.
[[nodiscard]] inline Probe http_probe(HttpProbe request);

// -- implementation ----------------------------------------------------------
namespace detail {

/// What is wrong with it, in words.
[[nodiscard]] inline std::vector<std::string> mistakes_of(const HttpProbe& wanted) {
    constexpr std::string_view breaks("\r\n\0", 3);
    std::vector<std::string> found;
    const auto has_break = [&](std::string_view text) { return text.find_first_of(breaks) != text.npos; };
    if (wanted.port == 0) found.emplace_back("port 0 is none; choose one from 1 to 65535");
    if (!reads_as_address(wanted.host) || wanted.host == "localhost")
        found.push_back('\'' + wanted.host + "' is no numeric address; write for example 127.0.0.1");
    if (!wanted.target.starts_with('/') || has_break(wanted.target) || wanted.target.find(' ') != std::string::npos)
        found.emplace_back("the target begins with / and holds no spaces or line breaks");
    if (wanted.method.empty() || wanted.method.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") != std::string::npos)
        found.emplace_back("the method is a word in capitals, such as GET");
    for (const auto& [name, value] : wanted.headers) {
        if (name.empty() || has_break(name) || has_break(value) || name.find_first_of(" :") != std::string::npos)
            found.push_back("the header '" + name + "' is empty, or holds what no header can; correct it");
    }
    if (wanted.min_status < 100 || wanted.max_status > 599 || wanted.min_status > wanted.max_status)
        found.emplace_back("the range of status codes is not within 100 to 599; write for example 200 to 299");
    if (wanted.max_body_bytes == 0 || wanted.max_body_bytes > HttpProbe::highest_max_body_bytes)
        found.push_back("max_body_bytes is " + std::to_string(wanted.max_body_bytes) + "; it must be between 1 and " +
                        std::to_string(HttpProbe::highest_max_body_bytes));
    return found;
}

/// Why the answer is not good; empty if it is.
[[nodiscard]] inline std::string why_not_good(const HttpProbe& wanted, unsigned status, const std::string& body) {
    if (status < wanted.min_status || status > wanted.max_status)
        return "the answer was " + std::to_string(status) + ", wanted is " + std::to_string(wanted.min_status) +
               " to " + std::to_string(wanted.max_status);
    if (body.find(wanted.body_contains) == std::string::npos)
        return "'" + wanted.body_contains + "' is not in the body of its answer";
    return {};
}

[[nodiscard]] inline boost::beast::http::request<boost::beast::http::empty_body> request_of(const HttpProbe& wanted) {
    namespace http = boost::beast::http;
    http::request<http::empty_body> request;
    request.method_string(wanted.method);
    request.target(wanted.target);
    const bool is_v6 = wanted.host.find(':') != std::string::npos;
    request.set(http::field::host, (is_v6 ? '[' + wanted.host + ']' : wanted.host) + ':' + std::to_string(wanted.port));
    request.set(http::field::connection, "close");
    for (const auto& [name, value] : wanted.headers) request.set(name, value);
    request.prepare_payload();
    return request;
}

/// Makes the request, and returns after `timeout` at the latest.
[[nodiscard]] inline AttemptResult ask_by_http(const HttpProbe& wanted, Nanoseconds timeout) {
    namespace http = boost::beast::http;
    error_code result;
    const auto address = boost::asio::ip::make_address(wanted.host, result);
    if (result) return {false, result.message(), {}};
    boost::asio::io_context loop;
    boost::beast::tcp_stream stream(loop);
    auto request = request_of(wanted);
    boost::beast::flat_buffer buffer;
    http::response_parser<http::string_body> answer;
    answer.body_limit(wanted.max_body_bytes);
    answer.skip(wanted.method == "HEAD");
    stream.expires_after(timeout);
    const auto read = [&](const error_code& ec, std::size_t) {
        if ((result = ec)) return;
        http::async_read(stream, buffer, answer, [&](const error_code& failed, std::size_t) { result = failed; });
    };
    stream.async_connect(boost::asio::ip::tcp::endpoint(address, wanted.port), [&](const error_code& ec) {
        if (!(result = ec)) http::async_write(stream, request, read);
    });
    loop.run();
    if (result == http::error::body_limit)
        return {false, "the body of its answer is longer than " + std::to_string(wanted.max_body_bytes) + " bytes", {}};
    if (result.category() == http::make_error_code(http::error::body_limit).category())
        return {false, "its answer cannot be read: " + result.message(), {}};
    if (result) return {false, result.message(), {}};
    std::string why = why_not_good(wanted, answer.get().result_int(), answer.get().body());
    return {why.empty(), std::move(why), {}};
}

class HttpCheck final : public ProbeCheck {
public:
    explicit HttpCheck(HttpProbe wanted) : wanted_(std::move(wanted)) {}

    [[nodiscard]] std::unique_ptr<ProbeAttempt> begin(ProbeTarget& target, Nanoseconds timeout,
                                                      AttemptDone done) const override {
        auto call = std::make_shared<PendingCall>(PendingCall{std::move(done), {}});
        target.call([wanted = wanted_, timeout] { return ask_by_http(wanted, timeout); },
                    [call, held = target.hold(), port = wanted_.port, host = wanted_.host](AttemptResult result) {
                        if (!result.is_good || !call->done) return call->finish(std::move(result));
                        held->prove({port, host, 0}, [call](AttemptResult proof) { call->finish(std::move(proof)); });
                    });
        return std::make_unique<CallAttempt>(std::move(call));
    }

private:
    const HttpProbe wanted_;
};

}  // namespace detail

inline Probe http_probe(HttpProbe request) {
    std::string name =
        "http " + request.method + ' ' + request.host + ':' + std::to_string(request.port) + request.target;
    auto mistakes = detail::mistakes_of(request);
    return Probe::check(std::move(name), std::make_shared<detail::HttpCheck>(std::move(request)), std::move(mistakes));
}

}  // namespace warden
