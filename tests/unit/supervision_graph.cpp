// SPDX-License-Identifier: MIT
// Groups of services as they are written: names, dependencies, and all that can be wrong with them.
#include <support/catch.hpp>
#include <warden/detail/supervision/service_graph.hpp>

#include <algorithm>
#include <string>
#include <vector>

using warden::Dependency;
using warden::DependencyCondition;
using warden::FailureAction;
using warden::RestartMode;
using warden::RestartPolicy;
using warden::Service;
using warden::detail::service_mistakes;
using warden::detail::ServiceGraph;
using warden::detail::start_order;

namespace {

Service named(std::string name, std::vector<Dependency> depends_on = {}) {
    Service service;
    service.name = std::move(name);
    service.command = {"true"};
    service.depends_on = std::move(depends_on);
    return service;
}

using Services = std::vector<Service>;
using Mistakes = std::vector<std::string>;
using Order = std::vector<std::size_t>;

}  // namespace

TEST_CASE("services: the order has each one after all that it depends on, else as they were given", "[supervision]") {
    CHECK(start_order(ServiceGraph(Services{})).empty());
    CHECK(start_order(ServiceGraph({named("a"), named("b"), named("c")})) == Order{0, 1, 2});
    CHECK(start_order(ServiceGraph({named("web", {{"api"}, {"db"}}), named("api", {{"db"}}), named("db"),
                                    named("other")})) == Order{2, 3, 1, 0});
}

TEST_CASE("services: an edge knows both ends and its condition", "[supervision]") {
    const ServiceGraph graph({named("web", {{"db", DependencyCondition::completed}}), named("db")});
    CHECK(graph.dependencies[0] == std::vector<ServiceGraph::Edge>{{1, DependencyCondition::completed}});
    CHECK(graph.dependants[1] == std::vector<ServiceGraph::Edge>{{0, DependencyCondition::completed}});
    CHECK(graph.dependencies[1].empty());
    CHECK(graph.dependants[0].empty());
}

TEST_CASE("services: a group without mistakes has none", "[supervision]") {
    CHECK(service_mistakes({}).empty());
    CHECK(service_mistakes({named("web", {{"db"}, {"migrate", DependencyCondition::completed_well}}),
                            named("migrate", {{"db"}}), named("db")})
              .empty());
}

TEST_CASE("services: a cycle is told with all that are on it, in their order, and only once", "[supervision]") {
    CHECK(service_mistakes({named("a", {{"b"}}), named("b", {{"c"}}), named("c", {{"a"}}), named("d", {{"a"}})}) ==
          Mistakes{"the services depend on each other in a cycle: 'a' -> 'b' -> 'c' -> 'a'; leave out one of these "
                   "dependencies"});
    CHECK(service_mistakes({named("behind", {{"x"}}), named("x", {{"y"}}), named("y", {{"x"}})}) ==
          Mistakes{"the services depend on each other in a cycle: 'x' -> 'y' -> 'x'; leave out one of these "
                   "dependencies"});
    CHECK(
        service_mistakes({named("a", {{"b"}}), named("b", {{"a"}}), named("x", {{"y"}}), named("y", {{"x"}})}).size() ==
        2);
    CHECK(service_mistakes({named("a", {{"a"}})}) == Mistakes{"service 'a': it depends on itself; leave that out"});
}

TEST_CASE("services: all mistakes are told at once, each with the service and with what to write", "[supervision]") {
    Service nameless = named("");
    Service wrong = named("wrong", {{"nobody"}, {"forever", DependencyCondition::completed}, {"forever"}});
    wrong.command = warden::CommandLine();
    wrong.options.name = "another";
    wrong.options.detached = true;
    wrong.restart.factor = 0;
    wrong.options.capture_bytes = 0;
    wrong.readiness = warden::Probe::fails_on_line("out of memory");
    wrong.liveness = warden::Probe::tcp(0);
    Service forever = named("forever");
    forever.restart = RestartPolicy::always();
    const Mistakes mistakes = service_mistakes({nameless, wrong, forever, named("forever")});
    const auto has = [&](std::string_view who, std::string_view part) {
        return std::any_of(mistakes.begin(), mistakes.end(), [&](const std::string& text) {
            return text.starts_with(who) && text.find(part) != std::string::npos;
        });
    };
    CHECK(mistakes.size() == 12);
    CHECK(has("service 1: ", "it has no name; write one"));
    CHECK(has("service 'wrong': ", "the command is empty"));
    CHECK(has("service 'wrong': ", "options.name is set; the name of the service is used, leave it"));
    CHECK(has("service 'wrong': ", "options.detached is set"));
    CHECK(has("service 'wrong': ", "factor is not 1 or more; write"));
    CHECK(has("service 'wrong': ", "capture_bytes is 0"));
    CHECK(has("service 'wrong': ", "readiness: nothing in it says that"));
    CHECK(has("service 'wrong': ", "liveness: "));
    CHECK(has("service 'wrong': ", "it depends on 'nobody', which is no service of this group; add it"));
    CHECK(has("service 'wrong': ", "it waits until 'forever' is completed, which is restarted always; write"));
    CHECK(has("service 'wrong': ", "it depends on 'forever' twice; leave one condition"));
    CHECK(has("service 'forever': ", "another service has this name; choose another one"));
}

TEST_CASE("services: every condition and every effect of a failure has its name", "[supervision]") {
    CHECK(to_string(DependencyCondition::started) == "started");
    CHECK(to_string(DependencyCondition::completed_well) == "completed_well");
    CHECK(to_string(FailureAction::ignore) == "ignore");
    CHECK(to_string(FailureAction::stop_all) == "stop_all");
}
