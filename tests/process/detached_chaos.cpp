// SPDX-License-Identifier: MIT
// Detached processes of many programs at once, of which programs and shims are killed at random.
#include "detached.hpp"

#include <algorithm>
#include <cerrno>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace support;
using namespace std::chrono_literals;
using warden::DetachedState;

namespace {

/// A program that starts one detached process and stays; nobody has waited for it yet.
struct Program {
    pid_t pid = 0;
    int output = -1;
    std::string uuid{};  // as it said; empty if it was killed before

    explicit Program(const warden::ManagerConfig& config) {
        std::vector<std::string> words{WARDEN_TEST_HOST,
                                       "detach",
                                       std::string(to_string(config.mechanism)),
                                       config.data_directory.string(),
                                       "stay",
                                       "sleep",
                                       "300"};
        pid = start_in_own_group(std::move(words), output);
    }
    Program(Program&& other) noexcept
        : pid(std::exchange(other.pid, 0)), output(std::exchange(other.output, -1)), uuid(std::move(other.uuid)) {}
    ~Program() {
        if (pid > 0) {
            kill();
            while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {}
        }
        if (output >= 0) ::close(output);
    }

    void kill() const { ::kill(-pid, SIGKILL); }
    void read_uuid() {
        char text[64] = {};
        static_cast<void>(!::read(output, text, sizeof text - 1));
        uuid = std::string(text).substr(0, 36);
    }
};

}  // namespace

TEMPLATE_TEST_CASE(
    "detached: of 50 processes of 16 programs at once, some killed with their shims, each is accounted for",
    "[detached]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    DetachedRun run(TestType::mechanism);
    const auto seed = std::random_device()();
    CAPTURE(seed);
    std::minstd_rand random(seed);
    const auto one_in = [&](unsigned n) { return random() % n == 0; };
    std::map<std::string, bool> told;  // uuids, and whether the shim was killed
    constexpr std::size_t rounds = 3;
    constexpr std::size_t at_once = 17;
    for (std::size_t round = 0; round < rounds; ++round) {
        std::vector<Program> programs;
        programs.reserve(at_once);
        for (std::size_t i = 0; i < at_once; ++i) {
            programs.emplace_back(run.config());
            if (one_in(4)) programs[random() % programs.size()].kill();  // in whatever it does now
        }
        for (Program& program : programs) {
            program.read_uuid();
            if (one_in(8)) programs[random() % programs.size()].kill();
            if (program.uuid.empty()) continue;
            told[program.uuid] = one_in(4);
            const auto info = run.processes().find(program.uuid).info();
            if (told[program.uuid]) ::kill(static_cast<pid_t>(info.record.shim.pid), SIGKILL);
        }
    }
    const auto is_as_told = [&](const auto& one) {
        warden::error_code ec;
        const auto info = run.processes().find(one.first).info(ec);
        if (ec) return false;
        return one.second ? info.state == DetachedState::lost && !info.process_alive
                          : info.state == DetachedState::running && info.process_alive;
    };
    CHECK(eventually([&] { return std::all_of(told.begin(), told.end(), is_as_told); }));
    CHECK(run.processes().list().size() <= rounds * at_once);
    for (const auto& one : run.processes().list()) {
        if (!one.is_active()) continue;
        try {
            CHECK(run.processes().find(one.record.uuid).force_stop().clean());
        } catch (const warden::system_error& error) {  // its program was killed, so that the start was undone
            CHECK(error.code() == warden::errc::not_found);
            CHECK(told.count(to_string(one.record.uuid)) == 0);
        }
    }
    CHECK(run.shims_are_gone());
    for (const auto& one : run.processes().list()) {
        CHECK_FALSE(one.process_alive);
        CHECK((one.state == DetachedState::exited || one.state == DetachedState::lost));
        run.processes().find(one.record.uuid).remove();
    }
    CHECK(run.processes().list().empty());
}
