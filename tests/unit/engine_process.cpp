// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <support/fake_context.hpp>
#include <support/fake_tree.hpp>
#include <warden/detail/engine/process_record.hpp>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <vector>

using namespace warden;
using namespace warden::detail;
using namespace std::chrono_literals;
using test::FakeContext;
using test::FakeTree;
using test::FakeTreeState;
using Log = std::vector<std::string>;

namespace {

/// A record as a start leaves it, with a tree that the test controls.
struct Started final : ProcessOwner {
    explicit Started(SpawnOptions options = {}, StopPlan plan = StopPlan::standard(), ManagerConfig config = {})
        : context(std::make_shared<FakeContext>(std::move(config))) {
        options.name = "fake";
        tree->members = {1000000007};  // nobody has such a number
        tree->on_call = [this](const std::string& call) { context->note(call); };
        record = std::make_shared<ProcessRecord>(context, Uuid{}, CommandLine{"fake"}, std::move(options));
        record->timeout = record->options.timeout.value_or(no_timeout);
        record->stop_plan = std::move(plan);
        record->pid = tree->members.front();
        record->control.tree = hold<FakeTree>(context->clock, tree);
        static_cast<void>(record->advanced(Transition::start));
        record->launched(*this);
        static_cast<void>(record->advanced(Transition::launched));
    }
    Started(const Started&) = delete;
    ~Started() { record->abandon(); }

    void leader_exited() override { context->note("leader exited"); }
    void tree_emptied(const std::shared_ptr<ProcessRecord>& of) override {
        CHECK(of == record);
        context->note("tree emptied");
    }
    void run_beside(CommandLine command, Nanoseconds grace, StepReport report) override {
        context->note("run " + command.to_string() + " for " + std::to_string(grace / 1s) + " s");
        beside = std::move(report);
    }

    void stop(StopPlan plan, StopReason reason = StopReason::asked) {
        record->stop(std::move(plan), reason, [this](const StopReport& report) {
            context->note("stopped");
            reports.push_back(report);
        });
        context->clock.run_posted();
    }
    [[nodiscard]] ProcessFacts facts() const { return record->state.facts(); }
    void advance(Nanoseconds length) { context->clock.advance(length); }

    const std::shared_ptr<FakeContext> context;
    const std::shared_ptr<FakeTreeState> tree = std::make_shared<FakeTreeState>();
    std::shared_ptr<ProcessRecord> record;
    StepReport beside;
    std::vector<StopReport> reports;
};

const ExitStatus well = ExitStatus::from_code(0);
const ExitStatus by_kill = ExitStatus::from_signal(signals::kill, false);
const ExitStatus by_terminate = ExitStatus::from_signal(signals::terminate, false);
const std::string terminates = "tree " + std::to_string(signals::terminate);
const std::string resumes = "tree " + std::to_string(signals::resume);

}  // namespace

TEST_CASE("process: an end that leaves nothing is one turn: exit, out of the table, tree released") {
    Started process;
    process.record->activate();
    process.advance(1500ms);
    process.tree->end_leader(well, true);
    CHECK(process.context->log == Log{"1500 leader exited", "1500 exit", "1500 tree emptied"});
    CHECK(process.context->events.back().duration == 1500ms);
    CHECK(process.facts().state == State::completed);
    CHECK(process.facts().cause == ExitCause::exited);
    CHECK(process.facts().ended - process.facts().started == 1500ms);
    CHECK(is_tree_empty(process.facts()));
    CHECK_FALSE(process.tree->is_held);
}

TEST_CASE("process: one that the system refuses to watch is killed, and is over when its end is seen, not before") {
    Started process;
    process.tree->watch_answer = errc::too_many_processes;
    process.record->activate();
    CHECK(process.context->log == Log{"0 kill", "0 state", "0 kill tree"});
    process.advance(60ms);
    CHECK(process.context->log.back() == "50 kill tree");
    CHECK(process.facts().tree_alive);
    CHECK(process.tree->is_held);
    process.tree->watch_answer = {};
    process.advance(50ms);
    process.tree->end_leader(by_kill, true);
    CHECK(process.context->log ==
          Log{"0 kill", "0 state", "0 kill tree", "50 kill tree", "110 leader exited", "110 exit", "110 tree emptied"});
    CHECK(process.facts().state == State::force_killed);
    CHECK_FALSE(process.tree->is_held);
    process.advance(1h);
    CHECK(process.context->log.size() == 7);
}

TEST_CASE("process: members that cannot be listed are survivors, not known, with the reason") {
    Started process;
    process.record->activate();
    process.tree->list_answer = make_error_code(boost::system::errc::too_many_files_open);
    process.stop(StopPlan::now());
    process.advance(1h);
    REQUIRE(process.reports.size() == 1);
    CHECK_FALSE(process.reports[0].clean());
    CHECK(std::any_of(process.reports[0].survivors.begin(), process.reports[0].survivors.end(), [](const auto& one) {
        return one.reason.starts_with("not known") && one.reason.find("Too many open files") != std::string::npos;
    }));
    error_code ec;
    static_cast<void>(process.record->tree_members(ec));
    CHECK(ec == boost::system::errc::too_many_files_open);
    static_cast<void>(process.record->usage(ec));
    CHECK(ec == boost::system::errc::too_many_files_open);
    CHECK(process.record->inspect(7).error == boost::system::errc::too_many_files_open);
}

TEST_CASE("process: a tree that outlives its leader stays in the table until it is empty") {
    Started process;
    process.record->activate();
    process.advance(1s);
    process.tree->end_leader(ExitStatus::from_code(3), false);
    CHECK(process.context->log == Log{"1000 leader exited", "1000 exit"});
    CHECK(process.facts().state == State::failed);
    CHECK(process.facts().tree_alive);
    CHECK(process.tree->is_held);
    process.advance(1h);
    process.tree->empty();
    CHECK(process.context->log == Log{"1000 leader exited", "1000 exit", "3601000 tree_gone", "3601000 tree emptied"});
    CHECK_FALSE(process.facts().tree_alive);
    CHECK_FALSE(process.tree->is_held);
}

TEST_CASE("process: a stop that nothing heeds takes each step after the grace of the one before, exactly") {
    Started process;
    process.record->activate();
    process.stop(StopPlan::standard());
    process.advance(1h);
    CHECK(process.context->log == Log{"0 state", "0 stop", "0 " + terminates, "0 " + resumes, "3000 stop_step",
                                      "3000 kill", "3000 kill tree", "5000 stop_step", "5000 kill", "5000 kill tree",
                                      "5000 last resort", "6000 stop_step", "6000 stopped"});
    REQUIRE(process.reports.size() == 1);
    const StopReport& report = process.reports[0];
    REQUIRE(report.steps.size() == 3);
    CHECK(report.steps[1].began == 3s);
    CHECK(report.steps[1].duration == 2s);
    CHECK_FALSE(report.steps[2].tree_exited);
    CHECK(report.duration == 6s);
    CHECK(process.facts().last_stop->duration == 6s);
    CHECK(process.facts().state == State::stopping);
    CHECK(process.tree->is_held);
}

TEST_CASE("process: a stop is over the moment the tree is empty, and those who wait hear of it last") {
    Started process;
    process.record->activate();
    process.stop(StopPlan::standard());
    process.advance(1s);
    process.context->log.clear();
    process.tree->end_leader(by_terminate, true);
    CHECK(process.context->log ==
          Log{"1000 stop_step", "1000 leader exited", "1000 exit", "1000 tree emptied", "1000 stopped"});
    REQUIRE(process.reports.size() == 1);
    CHECK(process.reports[0].duration == 1s);
    CHECK(process.reports[0].steps.back().tree_exited);
    CHECK(process.facts().state == State::stopped);
    CHECK(process.facts().cause == ExitCause::stopped);
    process.advance(1h);
    CHECK(process.context->log.size() == 5);  // no step is taken any more
    process.stop(StopPlan::now());
    REQUIRE(process.reports.size() == 2);  // at once, with what the stop did that ended it
    CHECK(process.reports[1].duration == 1s);
}

TEST_CASE("process: a kill by the plan is an end by force") {
    Started process;
    process.record->activate();
    process.stop(StopPlan::now());
    process.tree->end_leader(by_kill, true);
    CHECK(process.facts().state == State::force_killed);
    CHECK(process.facts().cause == ExitCause::forced);
    CHECK(process.context->metrics.snapshot().forced_total == 1);
}

TEST_CASE("process: a stop with an earlier deadline replaces the one under way, a later one does not") {
    Started process;
    process.record->activate();
    process.stop(StopPlan::standard());
    process.advance(1s);
    process.stop(StopPlan::gentle());
    CHECK(process.context->log.back() == "0 " + resumes);
    process.stop(StopPlan::now());
    CHECK(process.context->log.back() == "1000 kill tree");
    process.tree->end_leader(by_kill, true);
    CHECK(process.reports.size() == 3);
    for (const StopReport& report : process.reports) {
        REQUIRE(report.steps.size() == 2);
        CHECK(report.steps[0].duration == 1s);
        CHECK(report.steps[1].began == 1s);
    }
}

TEST_CASE("process: the timeout stops it by its plan, and is the cause") {
    SpawnOptions options;
    options.timeout = Timeout(10s);
    Started process(std::move(options), StopPlan::prompt());
    process.record->activate();
    process.advance(1h);
    CHECK(process.context->log == Log{"10000 timeout", "10000 state", "10000 stop", "10000 " + terminates,
                                      "10000 " + resumes, "10500 stop_step", "10500 kill", "10500 kill tree",
                                      "12500 stop_step", "12500 kill", "12500 kill tree", "12500 last resort",
                                      "13500 stop_step"});
    process.tree->end_leader(by_kill, true);
    CHECK(process.facts().cause == ExitCause::timed_out);
    CHECK(process.context->metrics.snapshot().timeouts_total == 1);
}

TEST_CASE("process: the timeout of a process that has ended does nothing") {
    SpawnOptions options;
    options.timeout = Timeout(10s);
    Started process(std::move(options));
    process.record->activate();
    process.tree->end_leader(well, true);
    process.context->log.clear();
    process.advance(1h);
    CHECK(process.context->log.empty());
}

TEST_CASE("process: a signal that was sent is the cause of the end by it, another signal is a crash") {
    Started process;
    process.record->activate();
    CHECK_FALSE(process.record->signal_leader(signals::terminate));
    CHECK(process.tree->calls == Log{"leader " + std::to_string(signals::terminate)});
    CHECK(process.record->signal_leader(0) == errc::invalid_signal);
    const auto status = GENERATE(by_terminate, by_kill);
    process.tree->end_leader(status, true);
    CHECK(process.facts().cause == (status == by_terminate ? ExitCause::stopped : ExitCause::crashed));
    CHECK(process.record->signal_leader(signals::terminate) == errc::already_ended);
    CHECK(process.record->signal_tree(signals::kill) == errc::already_ended);
}

TEST_CASE(
    "process: a command of a plan is run beside it, its trouble goes to the step, or once that is over, an event") {
    Started process;
    process.record->activate();
    process.stop(StopPlan{}.run_command({"helper", "{pid}"}, 2s).kill(1s));
    CHECK(process.context->log.back() == "0 run helper 1000000007 for 2 s");
    process.advance(1s);
    process.beside("went wrong");
    process.advance(1s);
    process.beside("too late");
    process.context->clock.run_posted();
    CHECK(process.context->events.back().message == "too late");
    process.tree->end_leader(by_kill, true);
    REQUIRE(process.reports.size() == 1);
    CHECK(process.reports[0].steps[0].error == "went wrong; too late");
}

namespace {

/// An executor whose turns are taken when the test says so.
struct Turns {
    void execute(std::function<void()> turn) const { waiting->push_back(std::move(turn)); }
    std::shared_ptr<std::deque<std::function<void()>>> waiting = std::make_shared<std::deque<std::function<void()>>>();
};

/// A consumer of output that takes its turns when the test says so.
struct SlowConsumer {
    explicit SlowConsumer(FakeContext& context, std::size_t max_bytes = 100,
                          OverflowPolicy policy = OverflowPolicy::drop)
        : queue(
              std::make_shared<ConsumerQueue>(std::shared_ptr<Dispatcher>(std::shared_ptr<void>(), &context.dispatcher),
                                              executor, max_bytes, policy, [this](Stream, std::string_view bytes) {
                                                  consumed += bytes;
                                                  return std::size_t{0};
                                              })) {}

    void take_turn() {
        auto turn = std::move(executor.waiting->front());
        executor.waiting->pop_front();
        turn();
    }

    [[nodiscard]] std::size_t turns() const { return executor.waiting->size(); }

    Turns executor;
    std::string consumed;
    std::shared_ptr<ConsumerQueue> queue;
};

[[nodiscard]] ManagerConfig with_drain_timeout(Nanoseconds length) {
    ManagerConfig config;
    config.drain_timeout = length;
    return config;
}

}  // namespace

TEST_CASE("process: the exit is reported when the consumers have seen all output, and not before") {
    Started process({}, StopPlan::standard(), with_drain_timeout(5s));
    SlowConsumer consumer(*process.context);
    process.record->output.router->chunk_queue = consumer.queue;
    process.record->activate();
    process.record->output.router->write(Stream::stdout_, "last words");
    process.tree->end_leader(well, true);
    process.advance(4s);
    CHECK(process.context->log.empty());
    CHECK_FALSE(has_ended(process.facts()));
    consumer.take_turn();
    process.context->clock.run_posted();
    CHECK(consumer.consumed == "last words");
    CHECK(process.context->log.empty());
    consumer.take_turn();
    process.context->clock.run_posted();
    CHECK(process.context->log == Log{"4000 leader exited", "4000 exit", "4000 tree emptied"});
    process.advance(1h);
    CHECK(process.context->log.size() == 3);
}

TEST_CASE("process: a consumer that does not return holds the exit up for the drain timeout, exactly") {
    Started process({}, StopPlan::standard(), with_drain_timeout(5s));
    SlowConsumer consumer(*process.context);
    process.record->output.router->chunk_queue = consumer.queue;
    process.record->activate();
    process.tree->end_leader(well, false);
    process.advance(2s);
    process.tree->empty();  // before the exit is reported: that says it all
    CHECK(process.context->log.empty());
    process.advance(3s - 1ns);
    CHECK(process.context->log.empty());
    process.advance(1ns);
    CHECK(process.context->log == Log{"5000 leader exited", "5000 exit", "5000 tree emptied"});
    consumer.take_turn();
    process.context->clock.run_posted();
    CHECK(process.context->log.size() == 3);
}

TEST_CASE("process: a stop that ends while the consumers are slow is reported after the exit") {
    Started process({}, StopPlan::standard(), with_drain_timeout(5s));
    SlowConsumer consumer(*process.context);
    process.record->output.router->chunk_queue = consumer.queue;
    process.record->activate();
    process.stop(StopPlan::standard());
    process.advance(1s);
    process.context->log.clear();
    process.tree->end_leader(by_terminate, true);
    process.advance(1h);  // no further step, though the first grace is over meanwhile
    CHECK(process.context->log ==
          Log{"1000 stop_step", "6000 leader exited", "6000 exit", "6000 tree emptied", "6000 stopped"});
    CHECK(process.reports.front().duration == 1s);
    while (consumer.turns() > 0) consumer.take_turn();  // the flush holds the record until then
    process.context->clock.run_posted();                // and so does what it posted
}

TEST_CASE("consumer queue: what does not fit is dropped and counted, in order, and room is half of the bound") {
    FakeContext context;
    SlowConsumer consumer(context, 10);
    int rooms = 0;
    consumer.queue->on_room([&] { ++rooms; });
    consumer.queue->offer(Stream::stdout_, "12345", 5);
    CHECK(consumer.queue->has_room());
    consumer.queue->offer(Stream::stdout_, "67890", 5);
    CHECK_FALSE(consumer.queue->has_room());
    consumer.queue->offer(Stream::stdout_, "x", 1);
    CHECK(consumer.queue->dropped() == 1);
    CHECK(consumer.turns() == 1);  // one at a time
    consumer.take_turn();
    CHECK(consumer.consumed == "12345");
    CHECK(rooms == 1);
    consumer.queue->offer(Stream::stdout_, "abc", 3);
    consumer.take_turn();
    consumer.take_turn();
    CHECK(consumer.turns() == 0);
    CHECK(consumer.consumed == "1234567890abc");
    CHECK(consumer.queue->dropped() == 1);
}

TEST_CASE("consumer queue: a chunk larger than the bound passes when nothing waits, and with block all passes") {
    FakeContext context;
    SlowConsumer dropping(context, 10);
    dropping.queue->offer(Stream::stdout_, std::string(20, 'a'), 20);
    dropping.queue->offer(Stream::stdout_, "b", 1);
    CHECK(dropping.queue->dropped() == 1);
    SlowConsumer blocking(context, 10, OverflowPolicy::block);
    for (int i = 0; i < 3; ++i) blocking.queue->offer(Stream::stdout_, std::string(8, 'c'), 8);
    CHECK(blocking.queue->dropped() == 0);
    CHECK_FALSE(blocking.queue->has_room());
    for (auto* consumer : {&dropping, &blocking}) {
        while (consumer->turns() > 0) consumer->take_turn();
    }
    CHECK(dropping.consumed == std::string(20, 'a'));
    CHECK(blocking.consumed == std::string(24, 'c'));
}
