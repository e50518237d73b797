// SPDX-License-Identifier: MIT
// However the program ends that owns them, no process of its is left: real hosts, started by warden itself, whose trees
// are nested in ours and so must be ended by their own jobs.
#include <string>
#include <vector>

#include <windows/support.hpp>

using namespace support;
using namespace std::chrono_literals;

namespace {

/// A host that has started its processes, and holds on these.
struct Host {
    explicit Host(TestManager& manager, const std::string& ending)
        : process(manager->spawn({beside("windows_host.exe"), ending, (manager.directory / ending).string()},
                                 {.stdin_ = warden::Input::pipe, .stdout_ = warden::Output::capture})) {
        for (int i = 0; i < 2; ++i) {
            const auto line = next_line(process);
            REQUIRE(line);
            held.emplace_back(std::stoi(*line));
            REQUIRE(held.back().is_held());
            CHECK_FALSE(held.back().has_ended());
        }
    }
    warden::ManagedProcess process;
    std::vector<HeldProcess> held;
};

}  // namespace

TEST_CASE("host endings: however a host ends, no process of its lives on", "[host]") {
    const std::string ending = GENERATE("return", "exit", "_exit", "exception", "abort", "crash", "terminate");
    CAPTURE(ending);
    TestManager manager;
    Host host(manager, ending);
    host.process.write("go\n");
    host.process.wait();
    for (const auto& process : host.held) CHECK(process.ends_within(10s));
}

TEST_CASE("host endings: a host that somebody ends by TerminateProcess leaves nothing", "[host]") {
    TestManager manager;
    Host host(manager, "stay");
    const HANDLE raw = ::OpenProcess(PROCESS_TERMINATE, FALSE, static_cast<DWORD>(host.process.pid()));
    REQUIRE(raw != nullptr);
    CHECK(::TerminateProcess(raw, 77));
    ::CloseHandle(raw);
    CHECK(host.process.wait().code() == 77);
    for (const auto& process : host.held) CHECK(process.ends_within(10s));
}

TEST_CASE("host endings: a host that is asked by CTRL_BREAK cleans up and ends", "[host]") {
    SKIP_WITHOUT_CONSOLE_EVENTS();
    TestManager manager;
    Host host(manager, "stay");
    const auto report = host.process.stop(warden::StopPlan{}.terminate(30s).kill(10s));
    REQUIRE_FALSE(report.steps.empty());
    CHECK(report.steps[0].ended_it);
    for (const auto& process : host.held) CHECK(process.ends_within(10s));
}
