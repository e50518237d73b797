// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <support/record.hpp>
#include <warden/detail/detached/record_json.hpp>
#include <warden/detail/detached/record_parser.hpp>
#include <warden/detail/detached/registry.hpp>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace warden;
using namespace std::chrono_literals;
using detail::parse_record;
using detail::to_json;
using support::full_record;
using support::record_version_1;
using support::running_record;

namespace {

/// The full record with the member at `path` ("exit.code") replaced by the JSON `value`, or removed if that is empty.
std::string with(std::string_view path, std::string_view value) {
    auto json = boost::json::parse(record_version_1);
    auto* object = &json.as_object();
    for (auto dot = path.find('.'); dot != path.npos; dot = path.find('.')) {
        object = &object->at(path.substr(0, dot)).as_object();
        path.remove_prefix(dot + 1);
    }
    if (value.empty()) object->erase(path);
    else (*object)[path] = boost::json::parse(value);
    return boost::json::serialize(json);
}

}  // namespace

TEST_CASE("record: what version 1 wrote can be read, member by member") {
    const auto parsed = parse_record(record_version_1);
    CHECK(parsed.mistake.empty());
    CHECK_FALSE(parsed.is_newer);
    CHECK(parsed.record == full_record());
}

TEST_CASE("record: what is written is read as it was") {
    CHECK(to_json(full_record()) == record_version_1);
    DetachedRecord record;  // with as little as there may be
    record.uuid = support::uuid_ending_in(9);
    record.command = {"true"};
    record.starter.pid = 1;
    CHECK(parse_record(to_json(record)).record == record);
    CHECK(parse_record(to_json(record)).mistake.empty());
    for (const ExitStatus status :
         {ExitStatus(), ExitStatus::from_code(0), ExitStatus::from_code(255), ExitStatus::from_signal(9, false)}) {
        record = full_record();
        record.exit->status = status;
        CHECK(parse_record(to_json(record)).record == record);
    }
    record = running_record();
    record.timeout = no_timeout;
    record.on_limit = OnLimit::keep_newest;
    record.name = "\xFF\x00 \xE2\x80\xAE\n\"";
    record.working_directory = "/srv/\xC3\xA4\xFE";
    CHECK(parse_record(to_json(record)).record == record);
}

TEST_CASE("record: a step that only its program can take is not recorded") {
    DetachedRecord record = running_record();
    record.stop_plan = StopPlan{}.call({"ask", [](Pid, Nanoseconds) { return std::string(); }}, 1s).kill(1s);
    CHECK(parse_record(to_json(record)).record.stop_plan == StopPlan{}.kill(1s));
}

TEST_CASE("record: a text that was torn at any byte is refused") {
    const std::string whole(record_version_1.substr(0, record_version_1.size() - 1));  // without the newline
    for (std::size_t size = 0; size < whole.size(); ++size) {
        if (parse_record(whole.substr(0, size)).mistake.empty()) FAIL("torn at " << size);
        std::string zeros = whole;
        std::fill(zeros.begin() + static_cast<std::ptrdiff_t>(size), zeros.end(), '\0');
        if (parse_record(zeros).mistake.empty()) FAIL("zeros from " << size);
        std::string spoilt = whole;
        spoilt[size] = '\xFF';
        (void)parse_record(spoilt);  // a text of other bytes may be a record; nothing is thrown
    }
}

TEST_CASE("record: a value that no process has is refused, and said") {
    const std::vector<std::pair<std::string, std::string>> hostile{
        {"uuid", R"("../../../../etc/passwd")"},
        {"uuid", R"("0190F5F2-9C1E-4A6B-8D3E-5F6071829304")"},
        {"uuid", R"("00000000-0000-0000-0000-000000000000")"},
        {"uuid", ""},
        {"version", "0"},
        {"version", "-1"},
        {"version", R"("1")"},
        {"version", ""},
        {"state", R"("lost")"},
        {"state", "3"},
        {"state", ""},
        {"command", "[]"},
        {"command", R"(["a\u0000b"])"},
        {"command", R"(["a",[256]])"},
        {"command", R"("rm -rf /")"},
        {"command", ""},
        {"name", "17"},
        {"name", R"("a\u0000b")"},
        {"metadata", "[]"},
        {"metadata", R"({"a":{"b":1}})"},
        {"shim", "[]"},
        {"shim", "{}"},
        {"process.pid", "0"},
        {"process.pid", "1"},
        {"process.pid", "-1"},
        {"process.pid", "2147483648"},
        {"process.pid", "9223372036854775807"},
        {"process.pid", "18446744073709551615"},
        {"process.pid", "4.5"},
        {"process.pid", R"("4002")"},
        {"process.pid", "4194305"},
        {"shim.pid", "1"},
        {"shim.start_ticks", "-1"},
        {"shim.boot_id", "{}"},
        {"started_at", R"("yesterday")"},
        {"started_at", R"("2026-02-30T00:00:00.000000000Z")"},
        {"started_at", R"("9999-01-01T00:00:00.000000000Z")"},
        {"started_at", ""},
        {"log", R"("../a.log")"},
        {"log", R"("/a\u0000.log")"},
        {"control_group", R"("/sys/fs/cgroup/../../../etc")"},
        {"control_group", R"("warden")"},
        {"timeout_ns", "0"},
        {"timeout_ns", "-5"},
        {"timeout_ns", "1e300"},
        {"stop_plan", "[]"},
        {"stop_plan", R"([{"action":"terminate","grace_ns":1}])"},
        {"stop_plan", R"([{"action":"nothing","grace_ns":1},{"action":"kill","grace_ns":1}])"},
        {"stop_plan", R"([{"action":"kill","grace_ns":-1}])"},
        {"stop_plan", R"([{"action":"call","grace_ns":1},{"action":"kill","grace_ns":1}])"},
        {"limits.open_files", "0"},
        {"limits.cpu_share", "1e999"},
        {"log_options.max_lines", "0"},
        {"log_options.max_chars", "18446744073709551615"},
        {"log_options.kept_files", "1000000"},
        {"log_options.format", R"("xml")"},
        {"restarted_from", R"("me")"},
        {"exit", ""},
        {"exit", "0"},
        {"exit.signal", "0"},
        {"exit.signal", "4096"},
        {"exit.cause", R"("magic")"},
        {"exit.at", ""},
    };
    for (const auto& [path, value] : hostile) {
        INFO(path << " = " << value);
        if (value == "1e999") continue;  // Boost.JSON's own parser makes infinity of it: below
        CHECK_FALSE(parse_record(with(path, value)).mistake.empty());
    }
    std::string infinite(record_version_1);
    infinite.replace(infinite.find("1.5"), 3, "1e999");
    CHECK_FALSE(parse_record(infinite).mistake.empty());
    CHECK(parse_record(with("state", R"("running")")).mistake == "its state and its exit contradict each other");
}

TEST_CASE("record: a text of any depth, size or repetition is refused, or read, in bounds") {
    CHECK_FALSE(parse_record(std::string(100'000, '[')).mistake.empty());
    CHECK_FALSE(parse_record(R"({"a":)" + std::string(100'000, '{')).mistake.empty());
    CHECK_FALSE(
        parse_record(with("metadata", "{\"a\":" + std::string(9, '[') + std::string(9, ']') + "}")).mistake.empty());
    CHECK(parse_record(std::string(detail::max_record_bytes + 1, ' ')).mistake == "has more than 1048576 bytes");
    CHECK_FALSE(parse_record("").mistake.empty());
    CHECK_FALSE(parse_record("[]").mistake.empty());
    CHECK_FALSE(parse_record("NaN").mistake.empty());
    std::string repeated(record_version_1);
    repeated.insert(1, R"("uuid":"../x","uuid":5,)");
    CHECK(parse_record(repeated).record.uuid == full_record().uuid);  // of members with one name the last counts
    std::string many = "{";
    for (int i = 0; i < 10'000; ++i) many += '"' + std::to_string(i) + "\":0,";
    many += record_version_1.substr(1);
    CHECK(parse_record(many).record == full_record());
}

TEST_CASE("record: one of a newer version is recognized, and read as far as it can be") {
    const auto parsed = parse_record(with("version", "2"));
    CHECK(parsed.is_newer);
    CHECK(parsed.record.name == "train");
    CHECK(parse_record(R"({"version":3,"name":"n"})").is_newer);
    CHECK(parse_record(R"({"version":3,"name":"n"})").record.name == "n");
}

TEST_CASE("record: a runtime goes to the end, or to now if the process may live") {
    const auto start = full_record().started_at;
    DetachedInfo info{running_record(), DetachedState::running, {}, true, {}};
    CHECK(info.runtime(start + 5s) == 5s);
    CHECK(info.runtime(start - 5s) == 0s);
    info.state = DetachedState::lost;
    CHECK(info.runtime(start + 5s) == 5s);
    info.process_alive = false;
    CHECK(info.runtime(start + 5s) == 0s);
    info = {full_record(), DetachedState::exited, {}, false, {}};
    CHECK(info.runtime(start + 1h) == Nanoseconds(1'876'543'211));
}

TEST_CASE("record: whoever answers for the process decides which state is believed") {
    using detail::Presence;
    using State = DetachedState;
    const auto start = full_record().started_at;
    const auto judge = [&](DetachedRecord record, Presence presence, Nanoseconds age) {
        std::string problem;
        const State state = detail::judge_state(record, {presence, {}, "no /proc"}, start + age, problem);
        CHECK(problem.empty() == (state == record.state && presence != Presence::unknown));
        return state;
    };
    DetachedRecord starting = running_record();
    starting.state = State::starting;
    starting.shim = starting.process = {};
    DetachedRecord stopping = running_record();
    stopping.state = State::stopping;
    for (const DetachedRecord& record : {running_record(), stopping, starting}) {
        CHECK(judge(record, Presence::alive, 1h) == record.state);
        CHECK(judge(record, Presence::ended, 1h) == State::lost);
        CHECK(judge(record, Presence::other_boot, 1h) == State::gone);
        CHECK(judge(record, Presence::other_namespace, 1h) == State::foreign);
        CHECK(judge(record, Presence::unknown, 1h) == record.state);  // what was not seen is not known to be lost
    }
    CHECK(judge(starting, Presence::ended, 29s) == State::starting);  // its shim may be on the way
    CHECK(judge(starting, Presence::ended, 30s) == State::lost);
    CHECK(judge(starting, Presence::ended, -1s) == State::lost);
    CHECK(judge(running_record(), Presence::ended, 1s) == State::lost);
    for (const Presence presence : {Presence::alive, Presence::ended, Presence::other_boot, Presence::other_namespace})
        CHECK(judge(full_record(), presence, 1h) == State::exited);
}
