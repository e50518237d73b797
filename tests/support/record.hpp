// SPDX-License-Identifier: MIT
// Records of detached processes: one with every member set, and the text that version 1 wrote of it.
#pragma once

#include <warden/detached/record.hpp>

#include <chrono>
#include <string_view>

namespace support {

/// Frozen: what the first version wrote. Newer versions must be able to read it for ever.
inline constexpr std::string_view record_version_1 =
    R"({"version":1,"uuid":"0190f5f2-9c1e-4a6b-8d3e-5f6071829304","type":"generation","name":"train","state":"exited",)"
    R"("command":["python3","-u","tr\u001bin.py",[255,97]],"metadata":{"owner":"me"},"working_directory":"/srv/data",)"
    R"("starter":{"pid":1,"start_ticks":7,"pidfs_inode":0,"namespaces":0,"boot_id":""},)"
    R"("shim":{"pid":4001,"start_ticks":123456,"pidfs_inode":77,"namespaces":17293822569102704640,)"
    R"("boot_id":"2f1c8a9e-0b1d-4e2f-9a3b-4c5d6e7f8091"},)"
    R"("process":{"pid":4002,"start_ticks":123457,"pidfs_inode":78,"namespaces":17293822569102704640,)"
    R"("boot_id":"2f1c8a9e-0b1d-4e2f-9a3b-4c5d6e7f8091"},)"
    R"("guardian":{"pid":4000,"start_ticks":123455,"pidfs_inode":76,"namespaces":17293822569102704640,)"
    R"("boot_id":"2f1c8a9e-0b1d-4e2f-9a3b-4c5d6e7f8091"},)"
    R"("started_at":"2026-01-31T23:59:59.123456789Z","log":"/var/log/a.log","error_log":"/var/log/a_error.log",)"
    R"("mechanism":"cgroup","control_group":"/sys/fs/cgroup/warden-a","timeout_ns":600000000000,)"
    R"("stop_plan":[{"action":"signal","grace_ns":1000000000,"signal":2},)"
    R"({"action":"write_line","grace_ns":5,"text":"quit"},)"
    R"({"action":"run_command","grace_ns":6,"command":["stop-it","{pid}"]},{"action":"kill","grace_ns":2000000000}],)"
    R"("stop_reason":"enough","limits":{"memory_bytes":1048576,"cpu_time_ns":5000000000,"cpu_share":1.5,)"
    R"("processes":10,"open_files":64,"file_bytes":0,"core_bytes":0},)"
    R"("log_options":{"max_lines":100,"max_chars":2000,"kept_files":3,"format":"json_lines"},"survive_shim":true,)"
    R"("restarted_from":"0190f5f2-9c1e-4a6b-8d3e-5f6071829303",)"
    R"("exit":{"signal":11,"core_dumped":true,"cause":"crashed","at":"2026-02-01T00:00:01.000000000Z",)"
    R"("user_ns":1500000000,"system_ns":2,"max_resident_bytes":4096,"major_faults":3,"reason":"because","hook_problem":"it failed"}})"
    "\n";

inline warden::Uuid uuid_ending_in(std::uint8_t last) {
    return {{0x01, 0x90, 0xf5, 0xf2, 0x9c, 0x1e, 0x4a, 0x6b, 0x8d, 0x3e, 0x5f, 0x60, 0x71, 0x82, 0x93, last}};
}

/// The same, as a value.
inline warden::DetachedRecord full_record() {
    using namespace std::chrono_literals;
    const auto midnight = std::chrono::sys_days(std::chrono::year(2026) / 2 / 1);
    warden::DetachedRecord record;
    record.uuid = uuid_ending_in(4);
    record.type = "generation";
    record.name = "train";
    record.command = warden::CommandLine("python3", {"-u", "tr\x1Bin.py",
                                                     "\xFF"
                                                     "a"});
    record.metadata = {{"owner", "me"}};
    record.working_directory = "/srv/data";
    record.state = warden::DetachedState::exited;
    record.starter = {1, 7, 0, 0, {}};
    record.shim = {4001, 123456, 77, 17293822569102704640u, "2f1c8a9e-0b1d-4e2f-9a3b-4c5d6e7f8091"};
    record.process = {4002, 123457, 78, 17293822569102704640u, "2f1c8a9e-0b1d-4e2f-9a3b-4c5d6e7f8091"};
    record.guardian = {4000, 123455, 76, 17293822569102704640u, "2f1c8a9e-0b1d-4e2f-9a3b-4c5d6e7f8091"};
    record.started_at = std::chrono::time_point_cast<std::chrono::system_clock::duration>(midnight - 876543211ns);
    record.log_path = "/var/log/a.log";
    record.error_log_path = "/var/log/a_error.log";
    record.mechanism = warden::Mechanism::cgroup;
    record.control_group = "/sys/fs/cgroup/warden-a";
    record.timeout = 10min;
    record.stop_plan = warden::StopPlan{}
                           .signal(2, 1s)
                           .write_line("quit", 5ns)
                           .run_command({"stop-it", "{pid}"}, 6ns)
                           .kill(2s)
                           .because("enough");
    record.limits = {1 << 20, 5s, 1.5, 10, 64, 0, 0};
    record.log_limits = {100, 2000};
    record.on_limit = warden::OnLimit::rotate(3);
    record.log_format = warden::LogFormat::json_lines;
    record.survive_shim = true;
    record.restarted_from = uuid_ending_in(3);
    record.exit = warden::DetachedExit{warden::ExitStatus::from_signal(11, true),
                                       warden::ExitCause::crashed,
                                       midnight + 1s,
                                       {1500ms, 2ns, 4096, 3},
                                       "because",
                                       "it failed"};
    return record;
}

/// One that is believed to run.
inline warden::DetachedRecord running_record() {
    warden::DetachedRecord record = full_record();
    record.state = warden::DetachedState::running;
    record.exit.reset();
    return record;
}

}  // namespace support
