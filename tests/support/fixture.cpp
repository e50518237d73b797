// SPDX-License-Identifier: MIT
#include <support/fixture.hpp>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <map>
#include <system_error>

#include <sys/stat.h>

namespace support {
namespace {

warden::ManagerConfig config_in(const TestDirectory& directory, warden::Mechanism mechanism,
                                const std::function<void(warden::ManagerConfig&)>& adjust) {
    warden::ManagerConfig config;
    config.handle_signals = false;
    config.mechanism = mechanism;
    config.data_directory = directory / "data";
    if (adjust) adjust(config);
    return config;
}

}  // namespace

TestDirectory::TestDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "test-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::system_error(errno, std::generic_category(), name);
    ::chmod(name.c_str(), 0755);
    path_ = name;
}

TestDirectory::~TestDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path TestDirectory::write(std::string_view name, std::string_view text, unsigned mode) const {
    const std::filesystem::path path = path_ / name;
    std::ofstream(path, std::ios::binary) << text;
    ::chmod(path.c_str(), mode);
    return path;
}

TestManager::TestManager(warden::Mechanism mechanism, const std::function<void(warden::ManagerConfig&)>& adjust)
    : manager_(config_in(directory, mechanism, adjust)) {
    expect_no_control_group("warden-" + to_string(manager_.instance_id()));
}

std::string why_not_available(warden::Mechanism mechanism) {
    static std::map<warden::Mechanism, std::string> known;
    if (const auto found = known.find(mechanism); found != known.end()) return found->second;
    // In a process of its own: this one may still want to fork, which is best done before it has threads.
    const std::string why = in_subprocess([&](Checks& check) {
        TestManager probe(mechanism);
        const auto report = probe->containment();
        const bool taken = report.mechanism == mechanism;
        check.that(taken, report.why_not_stronger.empty() ? "the manager took another one" : report.why_not_stronger);
    });
    if (why.find(" ended it") != std::string::npos) FAIL("a manager could not even be made: " << why);
    return known.emplace(mechanism, why).first->second;
}

std::vector<std::string> split(std::string_view text, char end) {
    std::vector<std::string> found;
    while (!text.empty()) {
        const auto at = std::min(text.find(end), text.size());
        found.emplace_back(text.substr(0, at));
        text.remove_prefix(std::min(at + 1, text.size()));
    }
    return found;
}

warden::SpawnError failed_start(warden::ProcessManager& manager, const warden::CommandLine& command,
                                const warden::SpawnOptions& options) {
    try {
        const auto process = manager.spawn(command, options);
    } catch (const warden::SpawnError& error) {
        return error;
    }
    FAIL("'" << command.to_string() << "' could be started");
    throw std::logic_error("not reached");
}

}  // namespace support
