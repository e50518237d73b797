// SPDX-License-Identifier: MIT
// Stop plans that ask by HTTP, by a function and by a command.
#include <support/fixture.hpp>
#include <warden/supervision/http_stop.hpp>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>

#include <atomic>
#include <fstream>
#include <future>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using namespace support;

namespace {

/// Answers one request with `status`; what was asked.
std::future<std::string> serve_once(boost::asio::ip::tcp::acceptor& acceptor, std::string status) {
    return std::async(std::launch::async, [&acceptor, status = std::move(status)] {
        auto socket = acceptor.accept();
        boost::asio::streambuf request;
        boost::asio::read_until(socket, request, "\r\n\r\n");
        boost::asio::write(socket, boost::asio::buffer("HTTP/1.1 " + status + "\r\nContent-Length: 0\r\n\r\n"));
        return std::string(std::istreambuf_iterator<char>(&request), {});
    });
}

}  // namespace

TEST_CASE("stop: a server is asked by an HTTP request before it is asked by a signal", "[stop][http]") {
    boost::asio::io_context loop;
    boost::asio::ip::tcp::acceptor acceptor(loop, {boost::asio::ip::address_v4::loopback(), 0});
    TestManager manager{warden::Mechanism::automatic};
    auto process = manager->spawn({"sleep", "60"});
    auto asked = serve_once(acceptor, "202 Accepted");
    const auto plan = warden::StopPlan{}
                          .call(warden::http_stop({.port = acceptor.local_endpoint().port()}), 200ms)
                          .terminate(5s)
                          .kill(2s);
    const auto report = process.stop(plan);
    CHECK(asked.get().rfind("POST /shutdown HTTP/1.1\r\n", 0) == 0);
    REQUIRE(report.steps.size() == 2);
    CHECK(report.steps[0].action == warden::StopAction::call);
    CHECK(report.steps[0].duration >= 200ms);
    CHECK(report.steps[1].action == warden::StopAction::terminate);
    CHECK(report.clean());
}

TEST_CASE("stop: an HTTP request that is refused is reported, and the next step comes all the same", "[stop][http]") {
    boost::asio::io_context loop;
    boost::asio::ip::tcp::acceptor acceptor(loop, {boost::asio::ip::address_v4::loopback(), 0});
    TestManager manager{warden::Mechanism::automatic};
    std::promise<std::string> told;
    std::atomic<bool> once{false};
    const auto subscription = manager->subscribe([&](const warden::Event& event) {
        if (event.kind == warden::EventKind::stop_step && !event.message.empty() && !once.exchange(true))
            told.set_value(event.message);
    });
    auto process = manager->spawn({"sleep", "60"});
    auto asked = serve_once(acceptor, "503 Service Unavailable");
    const auto plan = warden::StopPlan{}
                          .call(warden::http_stop({.port = acceptor.local_endpoint().port()}), 200ms)
                          .terminate(5s)
                          .kill(2s);
    CHECK(process.stop(plan).clean());
    static_cast<void>(asked.get());
    CHECK(told.get_future().get().find("503") != std::string::npos);
}

TEMPLATE_TEST_CASE("stop: a command of the plan is given the process id", "[stop]", OnCgroup, OnKeeper,
                   OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto process = manager->spawn({"sleep", "60"});
    const auto plan = warden::StopPlan{}.run_command({"kill", "-TERM", "{pid}"}, 10s).kill(2s);
    const auto report = process.stop(plan);
    CHECK(report.clean());
    REQUIRE(report.steps.size() == 1);
    CHECK(process.exit_status()->signal() == SIGTERM);
}
