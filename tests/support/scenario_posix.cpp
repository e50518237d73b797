// SPDX-License-Identifier: MIT
#include <support/fixture.hpp>

#include <cerrno>
#include <cstdlib>
#include <map>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace support {

TestDirectory::TestDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "test-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::system_error(errno, std::generic_category(), name);
    ::chmod(name.c_str(), 0755);
    path_ = name;
}

TestManager::TestManager(warden::Mechanism mechanism, const Adjust& adjust) : manager_(config(mechanism, adjust)) {
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

warden::CommandLine play(std::vector<std::string> orders) { return {WARDEN_TEST_PLAYER, std::move(orders)}; }

Gate::Gate() {
    static int count = 0;
    name_ = (std::filesystem::temp_directory_path() /
             ("gate-" + std::to_string(::getpid()) + '-' + std::to_string(++count)))
                .string();
    if (::mkfifo(name_.c_str(), 0600) != 0) throw std::system_error(errno, std::generic_category(), name_);
    ::chmod(name_.c_str(), 0666);  // a child may run as another user
}

Gate::~Gate() {
    if (hold_ >= 0) ::close(static_cast<int>(hold_));
    ::unlink(name_.c_str());
}

void Gate::open() {
    if (hold_ < 0) hold_ = ::open(name_.c_str(), O_RDWR | O_CLOEXEC);  // those who open it for reading wait for that
    if (hold_ < 0) throw std::system_error(errno, std::generic_category(), name_);
}

HeldProcess::HeldProcess(warden::Pid pid) : hold_(process_state(pid) == '\0' ? 0 : pid) {}
HeldProcess::~HeldProcess() = default;

bool HeldProcess::ends_within(std::chrono::milliseconds patience) const {
    return !is_held() || eventually([this] { return !is_alive(static_cast<pid_t>(hold_)); }, patience);
}

bool others_have_streams() { return false; }

std::size_t peak_memory_mb() {
    const std::string status = read_file("/proc/self/status");
    return std::stoul(status.substr(status.find("VmHWM:") + 6)) / 1024;
}

}  // namespace support
