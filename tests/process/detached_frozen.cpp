// SPDX-License-Identifier: MIT
// What version 1 wrote and said, byte for byte: records, requests that are kept, and the protocol of shims. Never
// edited: a later version adds its own samples, and reads these.
#include "detached.hpp"
#include <warden/detail/detached/registry.hpp>
#include <warden/detail/detached/shim_request.hpp>
#include <warden/detail/detached/shim_socket_posix.hpp>

#include <chrono>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

#include <poll.h>
#include <sys/socket.h>

using namespace support;
using namespace std::chrono_literals;
using warden::DetachedState;
using warden::ExitStatus;

namespace {

constexpr const char* frozen_uuid = "7b0f2a54-1d3c-4e5f-8a9b-0c1d2e3f4a5b";

constexpr std::string_view frozen_exited =
    R"({"version":1,"uuid":"7b0f2a54-1d3c-4e5f-8a9b-0c1d2e3f4a5b","type":"generation","name":"train","state":"exited",)"
    R"("command":["python3","-u","train.py"],"metadata":{"owner":"me"},"working_directory":"/srv",)"
    R"("shim":{"pid":4001,"start_ticks":123456,"pidfs_inode":77,"namespaces":12,"boot_id":"x"},)"
    R"("process":{"pid":4002,"start_ticks":123457,"pidfs_inode":78,"namespaces":12,"boot_id":"x"},)"
    R"("guardian":{"pid":4003,"start_ticks":123456,"pidfs_inode":79,"namespaces":12,"boot_id":"x"},)"
    R"("started_at":"2026-01-31T23:59:59.000000000Z","log":"/var/log/a.log","mechanism":"keeper",)"
    R"("timeout_ns":600000000000,"stop_plan":[{"action":"terminate","grace_ns":3000000000},)"
    R"({"action":"kill","grace_ns":2000000000},{"action":"last_resort","grace_ns":1000000000}],)"
    R"("log_options":{"max_lines":5000,"max_chars":10000,"format":"raw"},)"
    R"("exit":{"code":3,"cause":"exited","at":"2026-02-01T00:00:01.000000000Z","user_ns":1500000000,"system_ns":2,)"
    R"("max_resident_bytes":4096,"major_faults":3}})"
    "\n";

constexpr std::string_view frozen_request =
    R"({"version":1,"uuid":"7b0f2a54-1d3c-4e5f-8a9b-0c1d2e3f4a5b","command":["sleep","60"],)"
    R"("options":{"name":"train","type":"generation","environment":{"inherits":true,"changes":[["COLOUR","blue"]]},)"
    R"("argument_zero":"","working_directory":"/","stdin":false,"stdout":null,"stderr":null,)"
    R"("log":{"directory":null,"naming":null,"max_lines":5000,"max_chars":10000,"kept_files":0,"format":0,"collect":""},)"
    R"("timeout":null,"stop_plan":null,"limits":{"memory_bytes":null,"cpu_time":null,"cpu_share":null,)"
    R"("processes":null,"open_files":null,"file_bytes":null,"core_bytes":null},"containment":[0,false,false,false],)"
    R"("identity":{"user":"","group":"","groups":null,"umask":null,"nice":null},"alerts":[],"drain_timeout":null,)"
    R"("pipe_bytes":null,"max_output_bytes":null,"max_stderr_bytes":null,"metadata":{}},)"
    R"("config":{"data_directory":"/data","log_directory":"/data/logs","mechanism":0,"event_log":true,"max_files":10000,)"
    R"("max_age":2592000000000000,"drain_timeout":2000000000,"consumer_queue_bytes":1048576,"max_line_bytes":65536,)"
    R"("pipe_bytes":1048576,"redact_arguments":false,"redact_secrets":true,"shim_program":""}})";

warden::detail::RecordFiles records_of(const DetachedRun& run) {
    warden::error_code ec;
    std::string why;
    auto files = warden::detail::RecordFiles::open(run.directory() / "data", true, ec, why);
    REQUIRE_FALSE(ec);
    return files;
}

/// Everything that comes until the other side hangs up.
std::string read_all(int socket) {
    std::string text;
    char buffer[4096];
    for (;;) {
        pollfd ready{socket, POLLIN, 0};
        if (::poll(&ready, 1, 20'000) <= 0) return text + " (nothing more came)";
        const ssize_t size = ::recv(socket, buffer, sizeof buffer, 0);
        if (size <= 0) return text;
        text.append(buffer, static_cast<std::size_t>(size));
        if (text.ends_with('\n')) return text;
    }
}

/// What the shim of a process answers to these bytes.
std::string ask(const warden::detail::RecordFiles& files, const warden::Uuid& uuid, std::string_view bytes) {
    warden::error_code ec;
    const auto socket = warden::detail::connect_at({files.descriptor(), files.path()},
                                                   warden::detail::RecordFiles::socket_name_of(uuid), ec);
    REQUIRE_FALSE(ec);
    REQUIRE(::send(socket.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    return read_all(socket.get());
}

/// A shim of version 1 that knows one answer.
class FrozenShim {
public:
    FrozenShim(const DetachedRun& run, std::string answer) : answer_(std::move(answer)) {
        const auto files = records_of(run);
        auto record = warden::detail::parse_record(frozen_exited).record;
        record.state = DetachedState::running;
        record.exit.reset();
        record.guardian = {};
        record.shim = record.process = warden::detail::own_identity();
        record.process.start_ticks = record.process.pidfs_inode = 1;  // of one that has ended
        warden::error_code ec;
        files.write(record.uuid, warden::detail::to_json(record), ec);
        listener_ = warden::detail::listen_at({files.descriptor(), files.path()},
                                              warden::detail::RecordFiles::socket_name_of(record.uuid), ec);
        REQUIRE_FALSE(ec);
        thread_ = std::thread([this] {
            pollfd ready{listener_.get(), POLLIN, 0};
            ::poll(&ready, 1, 20'000);
            const auto peer = warden::detail::accept_peer(listener_.get());
            asked_ = read_all(peer.get());
            static_cast<void>(::send(peer.get(), answer_.data(), answer_.size(), 0));
        });
    }
    FrozenShim(const FrozenShim&) = delete;
    ~FrozenShim() {
        if (thread_.joinable()) thread_.join();
    }
    /// What it was asked, when it has answered.
    [[nodiscard]] const std::string& asked() {
        thread_.join();
        return asked_;
    }

private:
    std::string answer_, asked_;
    warden::detail::UniqueFd listener_;
    std::thread thread_;
};

void remove_frozen(const DetachedRun& run) {
    warden::error_code ec;
    const auto files = records_of(run);
    static_cast<void>(files.remove(warden::detail::parse_uuid(frozen_uuid).value(), ec));
}

}  // namespace

TEST_CASE("frozen: a record and a kept request of version 1 are read", "[detached]") {
    const auto parsed = warden::detail::parse_record(frozen_exited);
    CHECK(parsed.mistake.empty());
    CHECK(parsed.record.exit.value().status == ExitStatus::from_code(3));
    CHECK(parsed.record.guardian.pid == 4003);
    CHECK(parsed.record.stop_plan == warden::StopPlan::standard());
    CHECK(parsed.record.timeout == warden::Timeout(10min));
    const auto request = warden::detail::read_request(frozen_request);
    CHECK(to_string(request.uuid) == frozen_uuid);
    CHECK(request.options.environment.changes().at("COLOUR") == "blue");
    CHECK_FALSE(request.options.end_hook);
}

TEST_CASE("frozen: a shim of today takes what a tool of version 1 sends", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    warden::SpawnOptions options;
    options.stdin_ = warden::Input::pipe;
    const auto process = run.processes().spawn({"cat"}, options);
    const auto files = records_of(run);
    const std::string status = ask(files, process.uuid(), "{\"version\":1,\"op\":\"status\"}\n");
    CHECK(status.starts_with("{\"ok\":true,\"state\":\"running\",\"pid\":" +
                             std::to_string(process.info().record.process.pid) + ",\"tree_alive\":true,"));
    CHECK(ask(files, process.uuid(), "{\"op\":\"write\",\"text\":\"hello\\n\"}\n") == "{\"ok\":true}\n");
    CHECK(ask(files, process.uuid(), "{\"op\":\"signal\",\"signal\":0}\n")
              .starts_with("{\"error\":{\"category\":\"warden\","));
    CHECK(ask(files, process.uuid(), "{\"op\":\"dance\"}\n").find("does not know 'dance'") != std::string::npos);
    CHECK(ask(files, process.uuid(), "nonsense\n").starts_with("{\"error\":"));
    CHECK(ask(files, process.uuid(), "{\"op\":\"close_stdin\"}\n") == "{\"ok\":true}\n");
    CHECK(process.wait().success());
    const auto other = run.processes().spawn({"sleep", "60"});
    const std::string report = ask(
        files, other.uuid(),
        R"({"op":"stop","plan":{"steps":[{"action":7,"grace":2000000000,"signal":0,"text":"","command":[]}],"reason":"x"}})"
        "\n");
    CHECK(report.starts_with("{\"ok\":true,\"report\":{\"steps\":[{\"action\":7,"));
    CHECK(report.find("\"survivors\":[],\"reason\":\"x\"") != report.npos);
    CHECK(other.wait().signal() == SIGKILL);
}

TEST_CASE("frozen: a tool of today takes what a shim of version 1 answers", "[detached]") {
    DetachedRun run(warden::Mechanism::automatic);
    const auto process = run.processes().find(warden::detail::parse_uuid(frozen_uuid).value());
    {
        FrozenShim shim(run, "{\"ok\":true,\"status\":{\"code\":3}}\n");
        CHECK(process.state() == DetachedState::running);
        CHECK(process.wait().code() == 3);
        CHECK(shim.asked().find("\"op\":\"wait\"") != std::string::npos);
    }
    remove_frozen(run);
    {
        FrozenShim shim(run, "{\"ok\":true,\"status\":{\"signal\":11,\"core_dumped\":true}}\n");
        CHECK(process.wait() == ExitStatus::from_signal(11, true));
    }
    remove_frozen(run);
    {
        FrozenShim shim(run,
                        R"({"ok":true,"report":{"steps":[{"action":2,"began":5,"duration":7000000,"tree_exited":true,)"
                        R"("error":""}],"survivors":[{"pid":9,"command":"x","reason":"stuck"}],"reason":"enough",)"
                        R"("duration":8000000}})"
                        "\n");
        const auto report = process.stop();
        CHECK(report.steps.size() == 1);
        CHECK(report.survivors.front().pid == 9);
        CHECK(report.reason == "enough");
        CHECK(shim.asked() == "{\"op\":\"stop\"}\n");
    }
    remove_frozen(run);
    {
        FrozenShim shim(run,
                        "{\"error\":{\"category\":\"warden\",\"value\":16,\"message\":\"the process has ended\"}}\n");
        warden::error_code ec;
        process.signal(10, ec);
        CHECK(ec.category() == warden::error_category());
        CHECK(ec.value() == 16);
    }
    remove_frozen(run);
}
