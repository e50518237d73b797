// SPDX-License-Identifier: MIT
// What a process says to its notification socket, and who is not believed.
#include "supervision.hpp"
#include <support/lives.hpp>
#include <support/start.hpp>

#include <algorithm>
#include <chrono>

#include <sys/un.h>
#include <sys/wait.h>

using namespace support;
using namespace std::chrono_literals;
using warden::errc;
using warden::EventKind;
using warden::NotifySocket;
using warden::Probe;
using warden::watch_liveness;
using warden::watch_readiness;

namespace {

/// What a stranger says to the socket, of this program.
void say(const NotifySocket& socket, const std::string& message) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(socket.address().begin() + 1, socket.address().end(), address.sun_path + 1);
    const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.address().size());
    const auto sent =
        ::sendto(fd, message.data(), message.size(), 0, reinterpret_cast<const sockaddr*>(&address), size);
    ::close(fd);
    REQUIRE(sent == static_cast<ssize_t>(message.size()));
}

struct Notifying {
    NotifySocket socket;
    warden::ManagedProcess process;
};

template <class... Words>
Notifying start(TestManager& manager, warden::Nanoseconds watchdog, const std::string& script) {
    Notifying started{NotifySocket::open(*manager), {}};
    warden::SpawnOptions options;
    options.stdin_ = warden::Input::pipe;
    started.socket.prepare(options, watchdog);
    started.process = manager->spawn({"sh", "-c", script, WARDEN_TEST_VICTIM}, options);
    return started;
}

bool has_message(const Listener& listener, const std::string& text) {
    const auto events = listener.events();
    return std::any_of(events.begin(), events.end(), [&](const auto& event) { return contains(event.message, text); });
}

}  // namespace

TEMPLATE_TEST_CASE("notify: READY=1 of any member of the tree makes it ready, also if it came before the watch",
                   "[supervision]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    auto before = start(manager, 0s, "exec \"$0\" notify READY=1");
    REQUIRE(eventually([&] { return before.process.tail(1) == std::vector<std::string>{"sent"}; }));
    CHECK(watch_readiness(before.process, Probe::notify().within(20s), before.socket).wait().is_ready());
    CHECK(before.process.state() == warden::State::ready);

    auto child = start(manager, 0s, "read go; \"$0\" notify STATUS=loading; read go");
    const auto watch = watch_readiness(child.process, Probe::notify().within(20s), child.socket);
    CHECK_FALSE(watch.wait_for(20ms));
    child.process.write("go\n");
    REQUIRE(eventually([&] { return watch.progress() == "loading; notify"; }));
    auto both = start(manager, 0s, "\"$0\" notify 'STATUS=x\nREADY=1' & wait");
    CHECK(watch_readiness(both.process, Probe::notify().within(20s), both.socket).wait().is_ready());
}

TEST_CASE("notify: a stranger is not believed, and is reported", "[supervision]") {
    TestManager manager;
    const Listener listener(*manager);
    auto started = start(manager, 0s, "read go; exec \"$0\" notify MAINPID=1 STATUS=lives READY=1");
    const auto watch = watch_readiness(started.process, Probe::notify().within(20s), started.socket);
    for (int i = 0; i < 20; ++i) say(started.socket, "READY=1");
    say(started.socket, std::string(5000, 'x'));
    const std::string who = "pid " + std::to_string(::getpid()) + ", which is not of its tree, spoke for it";
    REQUIRE(eventually([&] { return has_message(listener, who); }));
    CHECK_FALSE(watch.wait_for(20ms));
    CHECK(started.process.state() == warden::State::running);
    started.process.write("go\n");
    CHECK(watch.wait().is_ready());
    REQUIRE(eventually([&] { return listener.count(EventKind::alert) >= 10; }));
    CHECK(listener.count(EventKind::alert) == 10);  // and no more
}

TEST_CASE("notify: MAINPID= of a process that is not of the tree is refused", "[supervision]") {
    TestManager manager;
    const Listener listener(*manager);
    auto started = start(manager, 0s, "exec \"$0\" notify MAINPID=1 READY=1");
    CHECK(watch_readiness(started.process, Probe::notify().within(20s), started.socket).wait().is_ready());
    CHECK(eventually([&] { return has_message(listener, "it says MAINPID=1, which is not of its tree"); }));
}

TEST_CASE("notify: the end of the socket in a forked copy of the program does not end that of the program",
          "[supervision]") {
    TestManager manager;
    auto started = start(manager, 0s, "read go; exec \"$0\" notify READY=1");
    auto watch = watch_readiness(started.process, Probe::notify().within(20s), started.socket);
    CHECK_FALSE(watch.wait_for(20ms));
    const pid_t copy = ::fork();
    if (copy == 0) {
        started.socket = {};
        watch = {};
        ::_exit(0);
    }
    REQUIRE(::waitpid(copy, nullptr, 0) == copy);
    started.process.write("go\n");
    CHECK(watch.wait().is_ready());
}

TEST_CASE("notify: STOPPING=1 and the deadline end the wait", "[supervision]") {
    TestManager manager;
    auto stopping = start(manager, 0s, "exec \"$0\" notify STOPPING=1");
    const auto stops = watch_readiness(stopping.process, Probe::notify().within(20s), stopping.socket).wait();
    CHECK(stops.code == errc::probe_failed);
    CHECK(stops.reason == "it says that it is stopping");
    auto silent = start(manager, 0s, "read go");
    const auto late = watch_readiness(silent.process, Probe::notify().within(50ms), silent.socket).wait();
    CHECK(late.code == errc::timed_out);
    CHECK(late.reason == "notify: not ready within 50 ms");
}

TEST_CASE("notify: a watchdog that is not fed fails, as does one that is triggered", "[supervision]") {
    TestManager manager;
    auto started = start(manager, 250ms, "test \"$WATCHDOG_USEC\" = 250000 && exec \"$0\" notify WATCHDOG=1");
    const auto live = watch_liveness(started.process, Probe::notify().every(250ms), started.socket).wait();
    CHECK(live.code == errc::probe_failed);
    CHECK(live.reason == "notify: no WATCHDOG=1 within 250 ms");
    CHECK(live.took >= 250ms);
    auto triggers = start(manager, 1h, "exec \"$0\" notify WATCHDOG=trigger");
    const auto triggered = watch_liveness(triggers.process, Probe::notify().every(1h), triggers.socket).wait();
    CHECK(triggered.reason == "notify: it says WATCHDOG=trigger");
}
