// SPDX-License-Identifier: MIT
// A stand-in for a model server: answers GET /health and /v1/completions?prompt=... with JSON, on 127.0.0.1,
// and closes after POST /shutdown.
//
//   model_server [PORT]    0 or nothing: any free port. Says "listening on PORT" when it is ready.

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>

#include <csignal>
#include <cstdint>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace json = boost::json;
using asio::ip::tcp;
using Request = http::request<http::string_body>;
using Response = http::response<http::string_body>;

std::uint64_t served = 0;

json::object complete(std::string_view target) {
    const auto at = target.find("prompt=");
    const std::string prompt(at == target.npos ? "" : target.substr(at + 7));
    return {{"id", "cmpl-" + std::to_string(served)},
            {"object", "text_completion"},
            {"choices", {{{"index", 0}, {"text", "You said '" + prompt + "'. So it is."}, {"finish_reason", "stop"}}}}};
}

Response answer(const Request& request) {
    ++served;
    const std::string target(request.target());
    Response response(http::status::ok, request.version());
    json::object body;
    if (target == "/shutdown" && request.method() == http::verb::post) body = {{"status", "closing"}};
    else if (target == "/health") body = {{"status", "ok"}, {"requests", served}};
    else if (target.starts_with("/v1/completions")) body = complete(target);
    else {
        response.result(http::status::not_found);
        body = {{"error", "there is nothing at " + target}};
    }
    response.set(http::field::content_type, "application/json");
    response.keep_alive(request.keep_alive());
    response.body() = json::serialize(body) + '\n';
    response.prepare_payload();
    std::cout << request.method_string() << ' ' << target << ' ' << response.result_int() << std::endl;
    return response;
}

void close(asio::io_context& loop) {
    std::cout << "served " << served << " requests, closing" << std::endl;
    loop.stop();
}

asio::awaitable<void> serve(tcp::socket socket, asio::io_context& loop) {
    boost::beast::flat_buffer buffer;
    for (bool keep_alive = true; keep_alive;) {
        Request request;
        co_await http::async_read(socket, buffer, request, asio::use_awaitable);
        const Response response = answer(request);
        co_await http::async_write(socket, response, asio::use_awaitable);
        keep_alive = response.keep_alive();
        if (request.method() == http::verb::post && request.target() == "/shutdown") close(loop);
    }
}

asio::awaitable<void> listen(tcp::acceptor acceptor, asio::io_context& loop) {
    for (;;) {
        tcp::socket socket = co_await acceptor.async_accept(asio::use_awaitable);
        // A connection that breaks ends its own coroutine only.
        asio::co_spawn(acceptor.get_executor(), serve(std::move(socket), loop), [](const std::exception_ptr&) {});
    }
}

int main(int argc, char** argv) try {
    const auto port = static_cast<std::uint16_t>(argc > 1 ? std::stoul(argv[1]) : 0);
    asio::io_context loop(1);
    asio::signal_set signals(loop, SIGTERM, SIGINT);
    signals.async_wait([&](const boost::system::error_code&, int) { close(loop); });
    tcp::acceptor acceptor(loop, {asio::ip::address_v4::loopback(), port});
    std::cout << "listening on " << acceptor.local_endpoint().port() << std::endl;
    asio::co_spawn(loop, listen(std::move(acceptor), loop), asio::detached);
    loop.run();
} catch (const std::exception& error) {
    std::cerr << "model_server: " << error.what() << '\n';
    return 1;
}
