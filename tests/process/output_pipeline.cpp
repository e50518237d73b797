// SPDX-License-Identifier: MIT
// Processes whose output is the input of others.
#include <support/fixture.hpp>

#include <csignal>

using namespace support;
using namespace std::chrono_literals;
using warden::CompletedPipeline;
using warden::Conduit;
using warden::Input;
using warden::Output;
using warden::SpawnOptions;
using warden::StopPlan;

TEMPLATE_TEST_CASE("pipeline: the output of each is the input of the next, and each has its status", "[pipeline]",
                   OnCgroup, OnKeeper, OnProcessGroup) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const CompletedPipeline counted = manager->pipeline({{"seq", "100000"}, {"grep", "7"}, {"wc", "-l"}});
    REQUIRE(counted.stages.size() == 3);
    CHECK(counted.out() == "40951\n");
    CHECK(counted.success());
    const CompletedPipeline failed =
        manager->pipeline({{"sh", {"-c", "echo a; exit 3"}}, {"sh", {"-c", "cat; echo b >&2; exit 4"}}, {"cat"}});
    CHECK(failed.stages[0].status.code() == 3);
    CHECK(failed.stages[1].status.code() == 4);
    CHECK(failed.stages[1].err == "b\n");
    CHECK(failed.out() == "a\n");
    CHECK(!failed.success());
    CHECK(manager->list().empty());
}

TEMPLATE_TEST_CASE("pipeline: input of any size goes in at one end and comes out at the other", "[pipeline]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    std::string text;
    for (int i = 0; text.size() < (8u << 20); ++i) text += "line " + std::to_string(i) + '\n';
    const CompletedPipeline echoed = manager->pipeline({{"cat"}, {"cat"}, {"cat"}, {"cat"}}, {}, text);
    CHECK(echoed.out() == text);
    CHECK(echoed.success());
}

TEMPLATE_TEST_CASE("pipeline: who writes to one that has ended gets SIGPIPE, and the program does not", "[pipeline]",
                   OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const CompletedPipeline cut = manager->pipeline({{"yes"}, {"head", "-n1"}});
    CHECK(cut.out() == "y\n");
    CHECK(cut.stages[0].status.signal() == SIGPIPE);
    CHECK(cut.stages[1].success());
}

TEMPLATE_TEST_CASE("pipeline: a command that cannot be started leaves none of the others", "[pipeline]", OnCgroup,
                   OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stop_plan = StopPlan::now();
    CHECK_THROWS_AS(manager->pipeline({victim("stay"), victim("stay"), {"/no/such/program"}}, options),
                    warden::SpawnError);
    CHECK(manager->list().empty());
    CHECK_THROWS_AS(manager->pipeline({}), warden::system_error);
}

TEMPLATE_TEST_CASE("pipeline: each end of a conduit goes to one process", "[pipeline]", OnCgroup, OnKeeper) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const Conduit conduit;
    SpawnOptions from;
    from.stdout_ = conduit;
    from.stderr_ = Output::merge;
    SpawnOptions to;
    to.stdin_ = conduit;
    to.stdout_ = Output::capture;
    auto reader = manager->spawn({"cat"}, to);  // in whichever order
    auto writer = manager->spawn({"sh", {"-c", "echo out; echo err >&2"}}, from);
    CHECK(reader.communicate().out == "out\nerr\n");
    CHECK(writer.wait().success());
    CHECK(failed_start(*manager, victim("exit"), to).code() == warden::errc::invalid_options);
    SpawnOptions both;
    both.stdout_ = both.stderr_ = Conduit();
    CHECK(failed_start(*manager, victim("exit"), both).code() == warden::errc::invalid_options);
    SpawnOptions combined;
    combined.stdout_ = Output(Conduit()) | Output::capture;
    CHECK(failed_start(*manager, victim("exit"), combined).code() == warden::errc::invalid_options);
}
