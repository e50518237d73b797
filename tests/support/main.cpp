// SPDX-License-Identifier: MIT
// The runner: a census around every case, a watchdog, a temporary directory of its own.
#define CATCH_CONFIG_RUNNER
#include <support/catch.hpp>
#include <support/census.hpp>
#include <support/run_directory.hpp>
#include <support/skip.hpp>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>

namespace {

constexpr int all_skipped = 77;  // what CTest takes for a skip; a count of failures must not look like it
constexpr unsigned seconds_per_case = 110;

std::size_t cases = 0;
std::size_t leaking_cases = 0;
std::size_t skips = 0;

#if defined(CATCH_VERSION_MAJOR) && CATCH_VERSION_MAJOR >= 3
using ListenerBase = Catch::EventListenerBase;
#else
using ListenerBase = Catch::TestEventListenerBase;
#endif

[[maybe_unused]] const std::string& name_of(const Catch::TestCaseInfo& info) { return info.name; }   // Catch2 2
[[maybe_unused]] const std::string& name_of(const Catch::TestCaseInfo* info) { return info->name; }  // Catch2 3

class CensusListener final : public ListenerBase {
public:
    using ListenerBase::ListenerBase;

    void testCaseStarting(const Catch::TestCaseInfo& info) override {
        ListenerBase::testCaseStarting(info);
        ++cases;
        before_ = support::take_census();
        support::watch(seconds_per_case);
    }

    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        support::watch(0);
        const auto found = support::differences_since(*before_);
        if (!found.empty()) {
            ++leaking_cases;
            std::cerr << "\ncensus: '" << name_of(stats.testInfo) << "' left something behind:\n";
            for (const auto& difference : found) std::cerr << "  - " << difference << '\n';
            support::end_all_descendants();
        }
        ListenerBase::testCaseEnded(stats);
    }

private:
    std::optional<support::Census> before_;
};
CATCH_REGISTER_LISTENER(CensusListener)

}  // namespace

void support::note_skip(const std::string& reason) {
    ++skips;
    std::cerr << "SKIPPED: " << reason << std::endl;
}
std::size_t support::skip_count() { return skips; }

int main(int argc, char* argv[]) {
    Catch::Session session;
    if (const int code = session.applyCommandLine(argc, argv); code != 0) return code;
    const std::filesystem::path above = std::filesystem::temp_directory_path();
    support::remove_dead_runs(above);
    const support::RunDirectory directory(above);
    ::setenv("TMPDIR", directory.path().c_str(), 1);  // the census wants it empty after each case
    support::become_subreaper();
    int code = session.run();
    if (support::reaped_orphans() > 0) {
        std::cerr << "census: " << support::reaped_orphans() << " orphans had fallen to the runner and were reaped\n";
    }
    if (skips > 0) std::cerr << "skipped: " << skips << " of " << cases << " cases\n";
    if (leaking_cases > 0) {
        std::cerr << "census: " << leaking_cases << " cases left something behind\n";
        return code == 0 || code == all_skipped ? 1 : code;
    }
    if (code == 0 && skips > 0 && skips == cases) return all_skipped;
    return code == all_skipped ? 1 : code;
}
