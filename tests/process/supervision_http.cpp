// SPDX-License-Identifier: MIT
// Probes by HTTP, of good servers and of bad ones.
#include "supervision.hpp"
#include <support/start.hpp>
#include <warden/supervision/http_probe.hpp>

#include <chrono>

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::http_probe;
using warden::HttpProbe;
using warden::ProbeOutcome;
using warden::watch_readiness;

namespace {

ProbeOutcome ask(Server& server, HttpProbe request, warden::Nanoseconds deadline = 10s) {
    request.port = server.port;
    return watch_readiness(server.process, http_probe(std::move(request)).timeout(5s).within(deadline)).wait();
}

/// Why not.
bool says(Server& server, HttpProbe request, const std::string& text) {
    request.port = server.port;
    return explains(server.process, http_probe(std::move(request)), text);
}

}  // namespace

TEST_CASE("http probe: the status and the body decide", "[supervision]") {
    TestManager manager;
    Server good = serve(manager, "serve", "answer", http_answer("200 OK", "all is well"));
    CHECK(ask(good, {}).is_ready());
    CHECK(ask(good, {.body_contains = "is well"}).is_ready());
    const std::string name = "http GET 127.0.0.1:" + std::to_string(good.port) + "/: ";
    CHECK(says(good, {.body_contains = "is ill"}, name + "'is ill' is not in the body of its answer"));
    CHECK(says(good, {.min_status = 500, .max_status = 503}, name + "the answer was 200, wanted is 500 to 503"));
    Server busy = serve(manager, "serve", "answer", http_answer("503 Busy", ""));
    CHECK(says(busy, {}, "the answer was 503, wanted is 200 to 299"));
    CHECK(ask(busy, {.min_status = 503, .max_status = 503}).is_ready());
    Server head = serve(manager, "serve", "answer", std::string("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"));
    CHECK(ask(head, {.method = "HEAD"}).is_ready());
}

TEST_CASE("http probe: a stranger on the port does not count", "[supervision]") {
    SKIP_UNLESS(WARDEN_OS_LINUX, "who listens is known on Linux only");
    TestManager manager;
    Server good = serve(manager, "serve", "answer", http_answer("200 OK", ""));
    Server other{manager->spawn(victim("stay")), good.port};
    CHECK(says(other, {}, "is held by pid " + std::to_string(good.process.pid())));
}

TEST_CASE("http probe: hostile servers cost no more than the timeout and the bound", "[supervision]") {
    TestManager manager;
    for (const char* how : {"listen", "hang", "trickle"}) {
        INFO(how);
        Server server = serve(manager, "serve", how);
        const auto began = std::chrono::steady_clock::now();
        const auto probe = http_probe({.port = server.port}).timeout(150ms).within(400ms);
        const ProbeOutcome outcome = watch_readiness(server.process, probe).wait();
        CHECK(outcome.code == errc::timed_out);
        CHECK(outcome.attempts >= 2);
        CHECK(std::chrono::steady_clock::now() - began < 10s);
    }
    Server flood = serve(manager, "serve", "flood");
    CHECK(says(flood, {.max_body_bytes = 1000}, "the body of its answer is longer than 1000 bytes"));
    Server noise = serve(manager, "serve", "answer", std::string("SSH-2.0-OpenSSH\r\n\r\n"));
    CHECK(says(noise, {}, "its answer cannot be read"));
}

TEST_CASE("http probe: all its mistakes are named", "[supervision]") {
    const HttpProbe wrong{0, "no slash", "get", "example.org", {{"A\r\n", "b"}}, 300, 200, {}, 0};
    const auto mistakes = http_probe(wrong).validate();
    CHECK(mistakes.size() == 7);
    for (const std::string& mistake : mistakes) CHECK(mistake.starts_with("http get example.org:0no slash: "));
    CHECK(http_probe({.port = 1}).validate().empty());
}
