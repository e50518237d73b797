// SPDX-License-Identifier: MIT
#include "host_crash.hpp"

#include "system.hpp"

#include <boost/uuid/uuid_io.hpp>

#include <future>
#include <iostream>
#include <string_view>
#include <utility>

namespace demo {

using namespace std::chrono_literals;

[[noreturn]] void be_the_second_host(const std::string& marker) {
    warden::ProcessManager& manager = warden::ProcessManager::instance();
    std::promise<void> escaped;
    const auto plain = manager.spawn(sleeper());
    const auto hard = manager.spawn(stubborn());
    const auto gone = manager.spawn(escape(marker), {.on_line = [&escaped, first = true](std::string_view) mutable {
                                        if (std::exchange(first, false)) escaped.set_value();
                                    }});
    escaped.get_future().wait();
    std::cout << "instance " << manager.instance_id() << "\nready" << std::endl;
    wait_for_ever();
}

CrashReport crash_a_host(warden::ProcessManager& manager, const std::string& marker,
                         const std::filesystem::path& data_directory) {
    CrashReport report;
    std::promise<void> ready;
    const auto listen = [&](std::string_view line) {
        if (line.starts_with("instance ")) report.instance = line.substr(9);
        if (line == "ready") ready.set_value();
    };
    warden::SpawnOptions options;
    options.name = "second-host";
    options.type = "demo";
    options.environment.set("WARDEN_DEMO", marker).set("WARDEN_DATA_DIRECTORY", data_directory.string());
    options.on_line = listen;
    warden::ManagedProcess host = manager.spawn(second_host(marker), options);
    if (ready.get_future().wait_for(10s) != std::future_status::ready) return report;

    for (const warden::TreeMember& member : host.tree()) {
        if (member.pid == host.pid()) continue;
        const bool is_helper = member.command.find(second_host_flag) != std::string::npos;  // forked from the host
        (is_helper ? report.helpers : report.managed).push_back(proof::look_at(member.pid));
    }
    proof::Watch watch(report.managed);
    const auto killed_at = std::chrono::steady_clock::now();
    kill_host(host);
    report.all_ended = watch.wait_for_end(5s);
    report.took = std::chrono::steady_clock::now() - killed_at;
    report.host = host.wait();
    return report;
}

}  // namespace demo
