// SPDX-License-Identifier: MIT
// Records of detached processes with any content: refused with a reason, or the same again when written and read.
//   input: the text of a record
#include "fuzz.hpp"
#include <warden/detail/detached/record_json.hpp>
#include <warden/detail/detached/record_parser.hpp>

#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using fuzz::require;
    using namespace warden;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const detail::ParsedRecord parsed = detail::parse_record(text);
    if (!parsed.mistake.empty()) return 0;
    const DetachedRecord& record = parsed.record;
    require(!record.uuid.is_nil(), "a record has a uuid");
    require(record.shim.pid == 0 || record.shim.pid > 1, "nobody answers for a process as pid 1");
    require(record.process.pid == 0 || record.process.pid > 1, "a process is not pid 1");
    require(record.process.pid <= detail::max_pid, "a process has a number that a process may have");
    require(record.state <= DetachedState::exited, "a record has a state that is recorded");
    require(record.exit.has_value() == (record.state == DetachedState::exited), "an end belongs to its state");
    require(!record.command.validate(), "a record has a command");
    require(record.stop_plan.validate().empty(), "a record has a plan that ends with force");
    require(record.timeout.is_valid(), "a timeout is positive");
    if (parsed.is_newer) return 0;
    DetachedRecord kept = record;
    if (kept.limits.cpu_share) kept.limits.cpu_share = 1;  // the parser of Boost.JSON rounds real numbers
    kept.metadata.clear();                                 // keys of other bytes than UTF-8 are not kept
    const auto again = detail::parse_record(detail::to_json(kept));
    require(again.mistake.empty(), "a record that was read can be written and read", again.mistake);
    require(again.record == kept, "a record that was read and written is the same again", detail::to_json(kept));
    return 0;
}
