// SPDX-License-Identifier: MIT
// What children write arrives as they wrote it, whatever the locale, and a log that cannot grow hurts nobody.
#include <scenarios/output.hpp>
#include <support/fixture.hpp>

#include <atomic>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace support;
using namespace std::chrono_literals;
using warden::SpawnOptions;

TEMPLATE_TEST_CASE("output: the locale changes nothing", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        ::setenv("LANG", "oops", 1);
        ::setenv("LC_ALL", "no_SUCH.locale", 1);
        TestManager manager{TestType::mechanism};
        const std::string text = all_byte_values();
        check.that(manager->run(victim("echo"), {}, text).out == text, "all bytes come back");
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("log: a file that cannot grow hurts neither the program nor the child, and what is lost is counted",
                   "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism};
        const struct rlimit small { 100'000, RLIM_INFINITY };
        struct rlimit usual {};
        ::getrlimit(RLIMIT_FSIZE, &usual);
        SpawnOptions options;
        options.log.limits = {1'000'000, 10'000'000};
        options.log.on_limit = warden::OnLimit::rotate(1);  // the other way keeps in memory what cannot be written yet
        auto process = manager->spawn({"sh", "-c", "read line; exec " WARDEN_TEST_VICTIM " flood 5000000"}, [&] {
            options.stdin_ = warden::Input::pipe;
            return options;
        }());
        ::setrlimit(RLIMIT_FSIZE, &small);  // for this program: EFBIG, and SIGXFSZ
        process.write("go\n");
        check.that(process.wait_for(10s).has_value(), "the child is not blocked");
        check.that(process.exit_status() && process.exit_status()->success(), "and not hurt");
        check.that(process.info().dropped_bytes > 0, "drops are counted");
        check.that(process.info().output_bytes == 5'000'000, "all was read");
        struct stat status {};
        check.that(::stat(process.log_path().c_str(), &status) == 0 && status.st_size <= 100'000,
                   "the file is not beyond the limit");
        ::setrlimit(RLIMIT_FSIZE, &usual);
    });
    CHECK(failures == "");
}

TEMPLATE_TEST_CASE("log: that it cannot be written is told by one event", "[output]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    const std::string failures = in_subprocess([](Checks& check) {
        TestManager manager{TestType::mechanism};
        std::atomic<int> degraded{0};
        const auto subscription = manager->subscribe(
            [&](const warden::Event& event) { degraded += event.kind == warden::EventKind::log_degraded ? 1 : 0; });
        SpawnOptions options;
        options.stdin_ = warden::Input::pipe;
        options.log.limits = {1'000'000, 10'000'000};
        auto process = manager->spawn({"sh", "-c", "read line; exec " WARDEN_TEST_VICTIM " flood 5000000"}, options);
        struct rlimit usual {};
        ::getrlimit(RLIMIT_FSIZE, &usual);
        const struct rlimit small { 100'000, usual.rlim_max };
        ::setrlimit(RLIMIT_FSIZE, &small);
        process.write("go\n");
        check.that(process.wait_for(10s).has_value(), "the child is not blocked");
        ::setrlimit(RLIMIT_FSIZE, &usual);
        check.that(eventually([&] { return degraded >= 1; }, 1s), "an event tells of it");
        check.that(degraded <= 1, "only one");
    });
    CHECK(failures == "");
}
