// SPDX-License-Identifier: MIT
// The service machine beside a small model that was written for itself, over many random histories of random groups.
//
// The model keeps what is true of each service as sets of facts, and finds what follows by looking at everything again
// until nothing changes; the machine looks only at what may have changed.
#include <support/catch.hpp>
#include <warden/detail/supervision/service_machine.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using namespace std::chrono_literals;
using warden::DependencyCondition;
using warden::ExitStatus;
using warden::FailureAction;
using warden::RestartMode;
using warden::RestartPolicy;
using warden::Service;
using warden::ServicePhase;
using warden::SteadyTime;
using warden::detail::LaunchFailure;
using warden::detail::ServiceAction;
using warden::detail::ServiceGraph;
using warden::detail::ServiceMachine;

namespace {

using Random = std::mt19937;
using Orders = std::multiset<std::pair<char, std::size_t>>;  // 'L'aunch, 'S'top, 'G'iven up

std::size_t below(Random& random, std::size_t bound) { return random() % bound; }

/// What happens next, to whom.
struct News {
    enum What {
        start,
        stop,
        stop_one,
        restart,
        tick,
        launched,
        launch_failed,
        ready,
        not_ready,
        not_alive,
        ended,
        empty,
        survivors
    };
    What what = tick;
    std::size_t service = 0;
    bool is_old = false;  // of a former run
    int code = 0;
    bool flag = false;
};

class Model {
public:
    explicit Model(const std::vector<Service>& services) : services_(services), all_(services.size()) {
        for (std::size_t i = 0; i < services.size(); ++i) {
            for (const auto& dependency : services[i].depends_on) {
                std::size_t on = 0;
                while (services[on].name != dependency.service) ++on;
                needs_.push_back({i, on, dependency.condition});
            }
        }
    }

    Orders orders;

    void happens(const News& news, SteadyTime now) {
        orders.clear();
        now_ = now;
        if (news.what == News::start) {
            for (auto& one : all_) begin(one);
        } else if (news.what == News::stop) {
            for (std::size_t i = 0; i < all_.size(); ++i) doom(i);
        } else if (news.what == News::tick) {
            for (auto& one : all_) {
                if (one.is("backing_off") && one.due <= now) one.phase = "waiting";
            }
        } else if (!news.is_old) {
            to_one(news);
        }
        while (look_once()) {}
    }

    [[nodiscard]] bool may_launch_overlap() const { return overlap_; }
    [[nodiscard]] std::string_view phase(std::size_t i) const { return all_[i].phase; }

private:
    struct One {
        std::string_view phase = "idle";
        bool doomed = false, again = false, probe = false, lingers = false, ran = false, was_ready = false;
        bool process = false, rest = false, told_to_stop = false;
        char verdict = '-';  // 'c'ompleted, 'f'ailed, 'g'iven up, 'r'estart
        SteadyTime due{}, launched{};
        std::size_t short_runs = 0;
        std::vector<SteadyTime> restarts{};
        bool first = true;

        [[nodiscard]] bool is(std::string_view name) const { return phase == name; }
        [[nodiscard]] bool over() const { return is("idle") || is("completed") || is("failed") || is("stopped"); }
        [[nodiscard]] bool leaving() const { return doomed && !over(); }
        [[nodiscard]] bool up() const { return is("running") || is("ready"); }
        [[nodiscard]] bool ending() const { return is("stopping") || is("clearing"); }
    };
    struct Need {
        std::size_t who, on;
        DependencyCondition how;
    };

    void begin(One& one) {
        if (!one.over()) return;
        one.phase = "waiting";
        one.doomed = one.again = one.ran = one.was_ready = false;
        forgive(one);
    }
    static void forgive(One& one) {
        one.first = true;
        one.short_runs = 0;
        one.restarts.clear();
    }
    void tell_to_stop(std::size_t i) {
        all_[i].told_to_stop = true;
        all_[i].lingers = false;
        orders.insert({'S', i});
    }
    void doom(std::size_t i) {
        One& one = all_[i];
        if (one.over() || one.doomed) return;
        one.doomed = true;
        one.again = false;
        if (one.is("waiting") || one.is("backing_off")) one.phase = "stopped";
        else if (one.lingers) tell_to_stop(i);
    }
    void doom_who_needs(std::size_t i) {
        for (const Need& need : needs_) {
            const bool strongly = need.how == DependencyCondition::started || need.how == DependencyCondition::ready;
            if (need.on != i || !strongly || all_[need.who].over() || all_[need.who].doomed) continue;
            doom(need.who);
            doom_who_needs(need.who);
        }
    }
    void fail(std::size_t i) {
        all_[i].phase = "failed";
        if (services_[i].on_failure == FailureAction::stop_dependants) doom_who_needs(i);
        if (services_[i].on_failure == FailureAction::stop_all) {
            for (std::size_t j = 0; j < all_.size(); ++j) doom(j);
        }
    }

    void judge(std::size_t i, bool success, bool hopeless) {
        One& one = all_[i];
        const RestartPolicy& policy = services_[i].restart;
        const bool again = policy.mode == RestartMode::always || (policy.mode == RestartMode::on_failure && !success);
        if (!again || hopeless) return void(one.verdict = success && !hopeless ? 'c' : 'f');
        if (policy.max_restarts) {
            std::size_t recent = 0;
            for (const SteadyTime time : one.restarts) recent += now_ < time + policy.window;
            if (recent >= *policy.max_restarts) return void(one.verdict = 'g');
        }
        one.short_runs = now_ - one.launched >= policy.stable_after ? 1 : one.short_runs + 1;
        auto pause = policy.initial_delay;
        for (std::size_t k = 1; k < one.short_runs && pause < policy.max_delay; ++k) pause *= 2;
        one.due = now_ + std::min(pause, policy.max_delay);
        one.verdict = 'r';
    }
    void conclude(std::size_t i) {
        One& one = all_[i];
        if (one.again) {
            one.again = false;
            one.phase = "waiting";
            forgive(one);
        } else if (one.doomed && (one.verdict == '-' || one.verdict == 'r')) {
            one.phase = "stopped";
        } else if (one.verdict == 'r') {
            one.phase = one.due <= now_ ? "waiting" : "backing_off";
        } else if (one.verdict == 'c') {
            one.phase = "completed";
        } else {
            if (one.verdict == 'g') orders.insert({'G', i});
            fail(i);
        }
    }

    void to_one(const News& news) {
        const std::size_t i = news.service;
        One& one = all_[i];
        switch (news.what) {
            case News::stop_one:
                if (one.over()) return;
                doom_who_needs(i);
                return doom(i);
            case News::restart:
                if (one.over()) return begin(one);
                if (one.doomed || one.is("waiting") || one.is("launching")) return;
                if (one.is("backing_off")) return forgive(one), void(one.phase = "waiting");
                one.again = true;
                if (one.up()) one.phase = "stopping", tell_to_stop(i);
                return;
            case News::launched:
                if (!one.is("launching")) return;
                one.process = one.rest = one.ran = true;
                one.phase = services_[i].name[0] == 'R' ? "running" : "ready";
                one.was_ready = one.was_ready || one.is("ready");
                return;
            case News::launch_failed:
                if (!one.is("launching")) return;
                if (one.doomed) return void(one.phase = "stopped");
                if (news.flag) return fail(i);
                judge(i, false, false);
                return conclude(i);
            case News::ready:
                if (one.is("running")) one.phase = "ready", one.was_ready = true;
                return;
            case News::not_ready:
            case News::not_alive:
                if (!one.is("running") && !(news.what == News::not_alive && one.is("ready"))) return;
                one.probe = true;
                one.phase = "stopping";
                return tell_to_stop(i);
            case News::ended: return process_ends(i, news);
            case News::empty:
                if (one.process || !one.rest) return;
                one.rest = false;
                if (one.ending()) conclude(i);
                return;
            case News::survivors:
                if (!one.ending() || !one.told_to_stop || !one.rest) return;
                one.lingers = true;
                if (one.doomed || !(one.again || one.probe || one.verdict == 'r')) fail(i);
                return;
            default: return;
        }
    }
    void process_ends(std::size_t i, const News& news) {
        One& one = all_[i];
        if (!one.process) return;
        one.process = false;
        one.rest = !news.flag;
        if (one.over() || one.is("waiting")) return;
        if (!one.doomed && !one.again) judge(i, !one.probe && news.code == 0, !one.probe && news.code == 2);
        if (!one.rest) return conclude(i);
        if (!one.is("stopping")) one.phase = "clearing";
        if (!one.told_to_stop) tell_to_stop(i);
    }

    /// 'y'es, 'w'ait, 'n'ever.
    [[nodiscard]] char answer(const Need& need) const {
        const One& on = all_[need.on];
        bool yes = false;
        switch (need.how) {
            case DependencyCondition::started:
                yes = on.ran && !on.is("failed") && !on.is("stopped") && !on.leaving();
                break;
            case DependencyCondition::ready:
                yes = (on.is("ready") && !on.leaving()) || (on.is("completed") && on.was_ready);
                break;
            case DependencyCondition::completed:
                yes = on.is("completed") || (on.is("failed") && on.ran && !on.rest);
                break;
            case DependencyCondition::completed_well: yes = on.is("completed"); break;
        }
        return yes ? 'y' : on.over() ? 'n' : 'w';
    }
    /// One thing that follows from what is; false if nothing does.
    bool look_once() {
        for (std::size_t i = 0; i < all_.size(); ++i) {
            One& one = all_[i];
            std::set<char> answers;
            bool others_first = false;
            for (const Need& need : needs_) {
                if (need.who == i) answers.insert(answer(need));
                if (need.on == i && all_[need.who].doomed && !all_[need.who].over()) others_first = true;
            }
            if (one.is("waiting") && !one.rest) {
                if (answers.contains('n') && !one.ran) return one.phase = "stopped", true;
                if (!answers.contains('w')) return launch(i), true;
            }
            if (one.up() && one.doomed && !others_first) return one.phase = "stopping", tell_to_stop(i), true;
        }
        return false;
    }
    void launch(std::size_t i) {
        One& one = all_[i];
        overlap_ = overlap_ || one.process || one.rest;
        one.phase = "launching";
        one.launched = now_;
        if (!std::exchange(one.first, false)) one.restarts.push_back(now_);
        one.told_to_stop = one.lingers = one.probe = false;
        one.verdict = '-';
        orders.insert({'L', i});
    }

    const std::vector<Service>& services_;
    std::vector<One> all_;
    std::vector<Need> needs_;
    SteadyTime now_{};
    bool overlap_ = false;
};

std::vector<Service> some_services(Random& random) {
    std::vector<Service> services(1 + below(random, 5));
    for (std::size_t i = 0; i < services.size(); ++i) {
        Service& service = services[i];
        service.name = (below(random, 2) != 0 ? "R" : "s") + std::to_string(i);
        service.restart.mode = static_cast<RestartMode>(below(random, 3));
        service.restart.jitter = 0;
        service.restart.max_delay = 4s;
        service.restart.stable_after = 20s;
        service.restart.window = 1min;
        service.restart.max_restarts.reset();
        if (below(random, 2) != 0) service.restart.max_restarts = 1 + below(random, 3);
        if (service.restart.mode != RestartMode::never) service.restart.no_restart_codes = {2};
        service.on_failure = static_cast<FailureAction>(below(random, 3));
        for (std::size_t on = 0; on < i; ++on) {
            if (below(random, 2) != 0)
                service.depends_on.push_back({services[on].name, static_cast<DependencyCondition>(below(random, 4))});
        }
    }
    std::shuffle(services.begin(), services.end(), random);
    return services;
}

News some_news(Random& random, std::size_t services) {
    constexpr std::array often{News::start,    News::stop,      News::stop_one,     News::restart,   News::tick,
                               News::tick,     News::launched,  News::launched,     News::launched,  News::launched,
                               News::launched, News::ready,     News::ready,        News::not_ready, News::not_alive,
                               News::ended,    News::ended,     News::ended,        News::empty,     News::empty,
                               News::empty,    News::survivors, News::launch_failed};
    News news{often[below(random, often.size())]};
    if (news.what == News::stop && below(random, 3) != 0) news.what = News::launched;
    news.service = below(random, services);
    news.is_old = below(random, 16) == 0;
    news.code = static_cast<int>(below(random, 4));
    news.flag = below(random, 2) != 0;
    return news;
}

void tell(ServiceMachine& machine, const News& news, std::uint64_t run, SteadyTime now) {
    if (news.is_old && news.what >= News::launched) run -= 1;
    const std::size_t i = news.service;
    switch (news.what) {
        case News::start: return machine.start(now);
        case News::stop: return machine.stop_all(now, "asked");
        case News::stop_one: return news.is_old ? void() : machine.stop(i, now, "asked");
        case News::restart: return news.is_old ? void() : machine.restart(i, now, "asked");
        case News::tick: return machine.tick(now);
        case News::launched: return machine.launched(i, run, now);
        case News::launch_failed:
            return machine.launch_failed(i, run, now, news.flag ? LaunchFailure::permanent : LaunchFailure::may_pass,
                                         "failed", 0);
        case News::ready: return machine.became_ready(i, run, now);
        case News::not_ready: return machine.readiness_failed(i, run, now, "no answer");
        case News::not_alive: return machine.liveness_failed(i, run, now, "no answer");
        case News::ended:
            return machine.ended(i, run, now, {ExitStatus::from_code(news.code), false, false, news.flag}, 0);
        case News::empty: return machine.tree_empty(i, run, now);
        case News::survivors: return machine.stop_left_survivors(i, run, now, "pid 1");
    }
}

/// A group, and the runs that its machine has asked for.
class Driven {
public:
    explicit Driven(std::vector<Service> services)
        : services_(std::move(services)),
          model_(services_),
          runs_(services_.size()),
          machine_(ServiceGraph(services_), traits()) {}

    /// What the two disagree about; empty if nothing.
    std::string happens(const News& news) {
        model_.happens(news, now_);
        tell(machine_, news, runs_[news.service], now_);
        Orders orders;
        for (const ServiceAction& action : machine_.take_actions()) {
            if (action.kind == ServiceAction::Kind::launch) {
                runs_[action.service] = action.run;
                orders.insert({'L', action.service});
            } else if (action.kind != ServiceAction::Kind::phase) {
                orders.insert({action.kind == ServiceAction::Kind::stop ? 'S' : 'G', action.service});
            }
        }
        if (orders != model_.orders) {
            const auto last = std::to_string(news.what) + " of " + services_[news.service].name;
            return "what is to be done after " + last + ": " + in_words(orders) + "instead of " +
                   in_words(model_.orders);
        }
        for (std::size_t i = 0; i < services_.size(); ++i) {
            if (to_string(machine_.phase(i)) != model_.phase(i)) return "the phase of " + services_[i].name;
        }
        return model_.may_launch_overlap() ? "a launch that overlaps" : "";
    }
    void pass(warden::Nanoseconds length) { now_ += length; }

    /// Whether a stop of all leads to an end, if all that is asked for happens.
    std::string winds_down() {
        std::string wrong = happens({News::stop});
        for (std::size_t round = 0; wrong.empty() && !machine_.is_group_over(); ++round) {
            if (round > 3 * services_.size()) return "that the stop of all comes to an end";
            for (std::size_t i = 0; i < services_.size() && wrong.empty(); ++i) {
                const ServicePhase phase = machine_.phase(i);
                if (phase == ServicePhase::launching) wrong = happens({News::launched, i});
                else if (phase == ServicePhase::stopping && wrong.empty())
                    wrong = happens({News::ended, i, false, 0, true});
                if (wrong.empty() && (phase == ServicePhase::stopping || phase == ServicePhase::clearing))
                    wrong = happens({News::empty, i});
            }
        }
        return wrong;
    }
    [[nodiscard]] std::size_t size() const { return services_.size(); }

private:
    [[nodiscard]] std::string in_words(const Orders& orders) const {
        std::string text;
        for (const auto& [what, i] : orders) (text += what) += services_[i].name + ' ';
        return text;
    }
    [[nodiscard]] std::vector<ServiceMachine::Traits> traits() const {
        std::vector<ServiceMachine::Traits> all;
        for (const Service& each : services_)
            all.push_back({each.name, each.restart, each.on_failure, each.name[0] == 'R'});
        return all;
    }

    std::vector<Service> services_;
    Model model_;
    std::vector<std::uint64_t> runs_;
    ServiceMachine machine_;
    SteadyTime now_{1h};
};

}  // namespace

TEST_CASE("machine: it does what a small model does over random histories of random groups", "[supervision]") {
    const char* const asked = std::getenv("WARDEN_TEST_SEED");
    const unsigned seed = asked ? static_cast<unsigned>(std::stoul(asked)) : std::random_device{}();
    INFO("seed " << seed << ": run again with WARDEN_TEST_SEED=" << seed);
    Random random(seed);
    std::size_t events = 0;
    const std::size_t wanted = WARDEN_HAS_ASAN || WARDEN_HAS_TSAN ? 100'000 : 1'000'000;
    while (events < wanted) {
        Driven group(some_services(random));
        std::string wrong = group.happens({News::start});
        const std::size_t length = 20 + below(random, 200);
        for (std::size_t i = 0; i < length && wrong.empty(); ++i, ++events) {
            group.pass(std::chrono::milliseconds(below(random, 2) * below(random, 4000)));
            wrong = group.happens(some_news(random, group.size()));
        }
        if (wrong.empty()) wrong = group.winds_down();
        INFO("after " << events << " events they disagree about " << wrong);
        REQUIRE(wrong.empty());
    }
}
