// SPDX-License-Identifier: MIT
// What a program asks of a shim arrives as it was meant, byte for byte.
#include <support/catch.hpp>
#include <warden/detail/detached/shim_answer.hpp>
#include <warden/detail/detached/shim_request.hpp>
#include <warden/detail/system/random_uuid.hpp>

#include <string>

using namespace std::chrono_literals;
using namespace warden;

namespace {

/// Each option that goes along differs from its default.
SpawnOptions full_options() {
    SpawnOptions options;
    options.name = "n\xff\x01";
    options.type = "t";
    options.environment = Environment::empty().set("A", "1\n").unset("B");
    options.argument_zero = "zero";
    options.working_directory = "/tmp";
    options.stdin_ = Input::from_file("/in");
    options.stdout_ = Output::log | Output::append_to("/out");
    options.stderr_ = Output::merge;
    options.terminal = Terminal{100, 30};
    options.log = {"/logs", LogNaming::by_name(), {7, 70}, OnLimit::rotate(3), LogFormat::prefixed, "own.log"};
    options.timeout = 3s;
    options.stop_plan = StopPlan{}.write_line("bye", 1s).run_command({"true", "{pid}"}, 2s).signal(10, 3s).kill(4s);
    options.stop_plan->because("why");
    options.limits = {1, 2s, 1.5, 3, 4, 5, 6};
    options.containment = {Mechanism::keeper, true, true, true};
    options.identity = {"u", "g", std::vector<std::string>{"x"}, 022, 5};
    options.alerts = {AlertRule::literal("E", AlertAction::stop)};
    options.alerts[0].name = "rule";
    options.alerts[0].from_stderr = false;
    options.alerts[0].most = 3;
    options.alerts[0].per = 5s;
    options.alerts[0].dedupe = 6s;
    options.drain_timeout = 9s;
    options.pipe_bytes = 8192;
    options.max_output_bytes = 11;
    options.max_stderr_bytes = 12;
    options.metadata = {{"k", "v"}};
    return options;
}

}  // namespace

TEST_CASE("shim request: every option that goes along arrives as it was", "[detached]") {
    detail::ShimRequest sent;
    sent.uuid = detail::new_uuid();
    sent.restarted_from = detail::new_uuid();
    sent.command = CommandLine("/bin/x", {"a b", std::string("\x80\xfe\"\\\n"), ""});
    sent.options = full_options();
    sent.config.data_directory = "/data";
    sent.config.redact_secrets = false;
    const std::string text = detail::write_request(sent);
    CHECK(text.find('\n') == text.npos);
    const detail::ShimRequest came = detail::read_request(text);
    CHECK(detail::write_request(came) == text);
    CHECK(came.uuid == sent.uuid);
    CHECK(came.restarted_from == sent.restarted_from);
    CHECK(came.command == sent.command);
    const SpawnOptions& there = came.options;
    const SpawnOptions here = full_options();
    CHECK(there.name == here.name);
    CHECK(there.environment == here.environment);
    CHECK(there.argument_zero == here.argument_zero);
    CHECK(there.working_directory == here.working_directory);
    CHECK(there.stdin_ == here.stdin_);
    CHECK(there.stdout_ == here.stdout_);
    CHECK(there.stderr_ == here.stderr_);
    CHECK(there.terminal == here.terminal);
    CHECK(there.log == here.log);
    CHECK(there.timeout == here.timeout);
    CHECK(there.stop_plan == here.stop_plan);
    CHECK(there.limits == here.limits);
    CHECK(there.containment == here.containment);
    CHECK(there.identity == here.identity);
    CHECK(there.alerts.size() == 1);
    CHECK(there.alerts[0].action == AlertAction::stop);
    CHECK(there.alerts[0].dedupe == 6s);
    CHECK(there.drain_timeout == here.drain_timeout);
    CHECK(there.pipe_bytes == here.pipe_bytes);
    CHECK(there.max_output_bytes == here.max_output_bytes);
    CHECK(there.max_stderr_bytes == here.max_stderr_bytes);
    CHECK(there.metadata == here.metadata);
    CHECK(came.config.data_directory == "/data");
    CHECK_FALSE(came.config.redact_secrets);
}

TEST_CASE("shim request: what is none is refused, wherever it is cut", "[detached]") {
    detail::ShimRequest sent;
    sent.uuid = detail::new_uuid();
    sent.command = {"true"};
    const std::string text = detail::write_request(sent);
    for (std::size_t size = 0; size < text.size(); ++size)
        CHECK_THROWS_AS(detail::read_request(text.substr(0, size)), system_error);
    CHECK_THROWS_AS(detail::read_request("[]"), system_error);
    CHECK_THROWS_AS(detail::read_request("{\"version\":2}"), system_error);
}

TEST_CASE("shim answer: a failed start is the same error on the other side", "[detached]") {
    const SpawnError failed(detail::system_code(2), SpawnStep::executable, "/x", "cannot start 'x'");
    try {
        detail::throw_if_refused(detail::parse_bytes(detail::refusal(failed)));
        FAIL("it was a refusal");
    } catch (const SpawnError& came) {
        CHECK(came.code() == failed.code());
        CHECK(came.step() == failed.step());
        CHECK(came.path() == failed.path());
        CHECK(std::string(came.what()) == failed.what());
    }
}
