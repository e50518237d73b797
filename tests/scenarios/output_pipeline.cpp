// SPDX-License-Identifier: MIT
// Processes whose output is the input of others.
#include <scenarios/output.hpp>

using namespace support;
using warden::CompletedPipeline;
using warden::Output;
using warden::ProcessPipe;
using warden::SpawnOptions;

TEMPLATE_TEST_CASE("pipeline: the output of each is the input of the next, and each has its status", "[pipeline]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const CompletedPipeline counted = manager->pipeline({play("count", "100000"), play("echo"), play("echo")});
    REQUIRE(counted.stages.size() == 3);
    CHECK(counted.out().size() == 588'895);
    CHECK(counted.success());
    const CompletedPipeline failed =
        manager->pipeline({play("out", "a\n", "exit", "3"), play("echo", "err", "b\n", "exit", "4"), play("echo")});
    CHECK(failed.stages[0].status.code() == 3);
    CHECK(failed.stages[1].status.code() == 4);
    CHECK(failed.stages[1].err == "b\n");
    CHECK(failed.out() == "a\n");
    CHECK(!failed.success());
    CHECK(manager->list().empty());
}

TEMPLATE_TEST_CASE("pipeline: input of any size goes in at one end and comes out at the other", "[pipeline]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const std::string text = pattern(8u << 20);
    const CompletedPipeline echoed =
        manager->pipeline({play("echo"), play("echo"), play("echo"), play("echo")}, {}, text);
    CHECK((echoed.out() == text));
    CHECK(echoed.success());
}

TEMPLATE_TEST_CASE("pipeline: who writes to one that has ended is told so, and the program is not harmed", "[pipeline]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const CompletedPipeline cut =
        manager->pipeline({play("again", "1000000000", "y\n"), play("read", "out", "enough\n")});
    CHECK(cut.out() == "enough\n");
    if (WARDEN_OS_WINDOWS) CHECK(cut.stages[0].status.code() == 1);  // its write failed
    else CHECK(cut.stages[0].status.signal() == 13);                 // SIGPIPE
    CHECK(cut.stages[1].success());
}

TEMPLATE_TEST_CASE("pipeline: a command that cannot be started leaves none of the others", "[pipeline]",
                   EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    SpawnOptions options;
    options.stop_plan = warden::StopPlan::now();
    CHECK_THROWS_AS(
        manager->pipeline({play("stay"), play("stay"), {(manager.directory / "no such program").string()}}, options),
        warden::SpawnError);
    CHECK(manager->list().empty());
    CHECK_THROWS_AS(manager->pipeline({}), warden::system_error);
}

TEMPLATE_TEST_CASE("pipeline: each end of a pipe between two goes to one process", "[pipeline]", EVERY_MECHANISM) {
    SKIP_UNLESS_AVAILABLE(TestType);
    TestManager manager{TestType::mechanism};
    const ProcessPipe pipe;
    SpawnOptions from;
    from.stdout_ = pipe;
    from.stderr_ = Output::merge;
    SpawnOptions to;
    to.stdin_ = pipe;
    to.stdout_ = Output::capture;
    auto reader = manager->spawn(play("echo"), to);  // in whichever order
    auto writer = manager->spawn(play("out", "out\n", "err", "err\n"), from);
    CHECK(reader.communicate().out == "out\nerr\n");
    CHECK(writer.wait().success());
    CHECK(failed_start(*manager, play(), to).code() == warden::errc::invalid_options);
    SpawnOptions both;
    both.stdout_ = both.stderr_ = ProcessPipe();
    CHECK(failed_start(*manager, play(), both).code() == warden::errc::invalid_options);
    SpawnOptions combined;
    combined.stdout_ = Output(ProcessPipe()) | Output::capture;
    CHECK(failed_start(*manager, play(), combined).code() == warden::errc::invalid_options);
}
