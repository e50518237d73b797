// SPDX-License-Identifier: MIT
#include "http_client.hpp"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>

#include <chrono>
#include <stdexcept>

namespace demo {

boost::asio::awaitable<std::string> http_get(std::uint16_t port, std::string target) {
    namespace asio = boost::asio;
    namespace http = boost::beast::http;
    boost::beast::tcp_stream stream(co_await asio::this_coro::executor);
    stream.expires_after(std::chrono::seconds(5));
    const asio::ip::tcp::endpoint server(asio::ip::address_v4::loopback(), port);
    co_await stream.async_connect(server, asio::use_awaitable);

    http::request<http::empty_body> request(http::verb::get, target, 11);
    request.set(http::field::host, "127.0.0.1");
    request.keep_alive(false);
    co_await http::async_write(stream, request, asio::use_awaitable);

    boost::beast::flat_buffer buffer;
    http::response<http::string_body> response;
    co_await http::async_read(stream, buffer, response, asio::use_awaitable);
    if (response.result() != http::status::ok)
        throw std::runtime_error(target + ": " + std::to_string(response.result_int()));
    co_return response.body();
}

}  // namespace demo
