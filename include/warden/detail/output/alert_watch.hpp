// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// The alert rules of one process at work: what matches, what of it is told, and to whom.
///
/// Knows:         rules, matchers, gates.
/// Does not know: processes, events; who made it acts.
/// Thread-safety: one thread at a time.

#include <warden/detail/output/alert_matcher.hpp>
#include <warden/spawn_options.hpp>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// What matches lead to.
class AlertReactions {
public:
    virtual ~AlertReactions() = default;
    virtual void report(const AlertRule& rule, const Alert& alert) = 0;
    /// A rule whose action is not `notify` matched for the first time.
    virtual void act(const AlertRule& rule) = 0;
    /// A rule was switched off.
    virtual void report_trouble(const AlertRule& rule, const std::string& words) = 0;
};

struct PackedAlert {
    std::size_t rule = 0;
    std::uint64_t suppressed = 0;
    std::chrono::system_clock::time_point time{};
};

class AlertWatch {
public:
    AlertWatch(const std::shared_ptr<const AlertSet>& set, std::unique_ptr<AlertReactions> reactions)
        : rules_(set->rules()),  // the matchers hold the set
          reactions_(std::move(reactions)),
          acted_(rules_.size()),
          matchers_{AlertMatcher(set, &AlertRule::from_stdout, on_trouble()),
                    AlertMatcher(set, &AlertRule::from_stderr, on_trouble())} {
        for (const AlertRule& rule : rules_) gates_.emplace_back(rule);
    }
    AlertWatch(const AlertWatch&) = delete;
    AlertWatch& operator=(const AlertWatch&) = delete;

    /// Looks at lines that all end with a newline.
    void look(Stream stream, std::string_view lines, SteadyTime now) {
        matchers_[static_cast<std::size_t>(stream)].find(lines, [&](std::size_t index, std::string_view line) {
            const AlertRule& rule = rules_[index];
            if (rule.action != AlertAction::notify && !acted_[index]) {
                acted_[index] = true;
                reactions_->act(rule);
            }
            const auto suppressed = gates_[index].pass(line, now);
            if (!suppressed) return;
            reactions_->report(rule, {rule.title(), std::string(to_string(stream)), std::string(line), *suppressed,
                                      std::chrono::system_clock::now()});
        });
    }

private:
    [[nodiscard]] AlertMatcher::Trouble on_trouble() {
        return
            [this](std::size_t index, const std::string& words) { reactions_->report_trouble(rules_[index], words); };
    }

    const std::vector<AlertRule>& rules_;
    const std::unique_ptr<AlertReactions> reactions_;
    std::vector<bool> acted_;
    std::vector<AlertGate> gates_;
    std::array<AlertMatcher, 2> matchers_;
};

/// An alert on its way through a queue: which rule, what was not told, when, and the line.
[[nodiscard]] inline std::string pack_alert(std::size_t rule, const Alert& alert) {
    const PackedAlert packed{rule, alert.suppressed, alert.time};
    std::string bytes(sizeof packed, '\0');
    std::memcpy(bytes.data(), &packed, sizeof packed);
    return bytes + alert.line;
}

/// The rule is one of `rules`.
[[nodiscard]] inline std::pair<const AlertRule&, Alert> unpack_alert(const std::vector<AlertRule>& rules, Stream stream,
                                                                     std::string_view bytes) {
    PackedAlert packed{};
    std::memcpy(&packed, bytes.data(), sizeof packed);
    const AlertRule& rule = rules[packed.rule];
    return {rule, Alert{rule.title(), std::string(to_string(stream)), std::string(bytes.substr(sizeof packed)),
                        packed.suppressed, packed.time}};
}

}  // namespace warden::detail
