// SPDX-License-Identifier: MIT
// What cannot be listed is said to be unknown, never to be nothing.
#include <support/fixture.hpp>
#include <warden/testing/leak_guard.hpp>

#include <algorithm>
#include <cerrno>

#include <sys/resource.h>

using namespace support;
using warden::testing::LeakKind;

namespace {

/// While it lives, this program can open no more descriptors.
class NoMoreDescriptors {
public:
    NoMoreDescriptors() {
        REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
        struct rlimit none = before_;
        none.rlim_cur = 3;
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    }
    NoMoreDescriptors(const NoMoreDescriptors&) = delete;
    ~NoMoreDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    struct rlimit before_ {};
};

warden::HealthFinding trees_of(const warden::HealthReport& report) {
    const auto found = std::find_if(report.findings.begin(), report.findings.end(),
                                    [](const auto& finding) { return finding.check == "trees"; });
    return found == report.findings.end() ? warden::HealthFinding{} : *found;
}

}  // namespace

TEMPLATE_TEST_CASE("unlisted: a tree that cannot be read is not told to be empty", "[containment]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    Handshake handshake(manager.directory / "fifo");
    auto process = manager->spawn(victim(handshake, "stay"));
    REQUIRE(handshake.pid() > 0);
    warden::error_code of_tree;
    warden::error_code of_usage;
    bool throws = false;
    warden::error_code of_details;
    warden::HealthReport health;
    {
        const NoMoreDescriptors here;
        static_cast<void>(process.tree(of_tree));
        static_cast<void>(process.usage(of_usage));
        of_details = process.inspect(process.pid()).error;
        health = manager->health();
        try {
            static_cast<void>(process.tree());
        } catch (const warden::system_error&) {
            throws = true;
        }
    }
    CHECK(of_tree == boost::system::errc::too_many_files_open);
    CHECK(of_usage == boost::system::errc::too_many_files_open);
    CHECK(of_details == boost::system::errc::too_many_files_open);
    CHECK(throws);
    CHECK(trees_of(health).status == warden::HealthStatus::degraded);
    CHECK(trees_of(health).detail.find("Too many open files") != std::string::npos);
    CHECK(trees_of(manager->health()).status == warden::HealthStatus::ok);
    CHECK(process.tree().size() == 1);
    CHECK(process.stop(warden::StopPlan::now()).clean());
    CHECK(process.tree(of_tree).empty());
    CHECK_FALSE(of_tree);
}

TEST_CASE("unlisted: a leak guard that cannot look says so", "[containment]") {
    warden::testing::LeakGuard guard;
    std::vector<warden::testing::Leak> leaks;
    {
        const NoMoreDescriptors here;
        leaks = guard.check(warden::Nanoseconds(0));
    }
    CHECK(std::any_of(leaks.begin(), leaks.end(), [](const auto& leak) { return leak.kind == LeakKind::unknown; }));
    CHECK(to_string(leaks).find("Too many open files") != std::string::npos);
    CHECK(guard.check(warden::Nanoseconds(0)).empty());
}
