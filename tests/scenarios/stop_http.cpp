// SPDX-License-Identifier: MIT
// Stop plans that ask by HTTP.
#include <support/lives.hpp>
#include <warden/supervision/http_stop.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <atomic>
#include <functional>
#include <future>
#include <iterator>
#include <string>
#include <thread>

using namespace support;
using namespace std::chrono_literals;
using warden::StopAction;
using warden::StopPlan;

namespace {

/// With a request to end, which Wine 8 does not deliver.
constexpr std::size_t max_steps = WARDEN_OS_WINDOWS ? 3 : 2;

/// A server that answers one request, after which it does something.
class Server {
public:
    explicit Server(
        std::string status, std::function<void()> then = [] {})
        : acceptor_(loop_, {boost::asio::ip::address_v4::loopback(), 0}),
          thread_([this, status = std::move(status), then = std::move(then)] {
              serve(status);
              then();
          }) {}
    Server(const Server&) = delete;
    ~Server() { thread_.join(); }
    [[nodiscard]] warden::StopCall stop() const {
        return warden::http_stop({.port = acceptor_.local_endpoint().port()});
    }
    /// What was asked; once.
    [[nodiscard]] std::string asked() { return asked_.get_future().get(); }

private:
    void serve(const std::string& status) {
        boost::system::error_code ec;
        boost::asio::ip::tcp::socket socket(loop_);
        boost::asio::streambuf request;
        acceptor_.accept(socket, ec);
        if (!ec) boost::asio::read_until(socket, request, "\r\n\r\n", ec);
        if (!ec)
            boost::asio::write(socket, boost::asio::buffer("HTTP/1.1 " + status + "\r\nContent-Length: 0\r\n\r\n"), ec);
        asked_.set_value(ec ? ec.message() : std::string(std::istreambuf_iterator<char>(&request), {}));
    }

    boost::asio::io_context loop_;
    boost::asio::ip::tcp::acceptor acceptor_;
    std::promise<std::string> asked_;
    std::thread thread_;
};

}  // namespace

TEMPLATE_TEST_CASE("stop: a server is asked by an HTTP request before it is asked by a signal", "[stop][http]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    {
        auto process = manager->spawn(play("stay"));
        Server server("202 Accepted");
        const auto report = process.stop(StopPlan{}.call(server.stop(), 1s).terminate(5s).kill(30s));
        CHECK(server.asked().rfind("POST /shutdown HTTP/1.1\r\n", 0) == 0);
        REQUIRE(report.steps.size() >= 2);
        CHECK(report.steps.size() <= max_steps);
        CHECK(report.steps[0].action == StopAction::call);
        CHECK(report.steps[0].duration >= 1s);
        CHECK(report.steps[1].action == StopAction::terminate);
        CHECK(report.clean());
    }
    auto process = ready(manager, {"out", "ready\n", "echo"}, {.stdin_ = warden::Input::pipe});
    Server server("202 Accepted", [&] { process.close_stdin(); });
    const auto report = process.stop(StopPlan{}.call(server.stop(), 30s).terminate(10s).kill(30s));
    CHECK(server.asked().rfind("POST /shutdown HTTP/1.1\r\n", 0) == 0);
    REQUIRE(report.steps.size() == 1);
    CHECK(report.steps[0].action == StopAction::call);
    CHECK(report.steps[0].tree_exited);
    CHECK(report.clean());
    CHECK(process.exit_status()->success());
    CHECK(process.cause() == warden::ExitCause::stopped);
}

TEMPLATE_TEST_CASE("stop: an HTTP request that is refused is reported, and the next step comes all the same",
                   "[stop][http]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn(play("stay"));
    Server server("503 Service Unavailable");
    const auto report = process.stop(StopPlan{}.call(server.stop(), 2s).kill(30s));
    CHECK(report.clean());
    REQUIRE(report.steps.size() == 2);
    CHECK(report.steps[0].error.find("503") != std::string::npos);
}
