// SPDX-License-Identifier: MIT
#pragma once

/// @file
/// Who depends on whom in a group of services, and what is wrong with that.
///
/// Knows:         names, conditions, cycles.
/// Does not know: what a service is doing.
/// Thread-safety: values.

#include <warden/supervision/service.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace warden::detail {

/// The services by their places; of a group without mistakes, each edge leads to a place.
struct ServiceGraph {
    struct Edge {
        std::size_t service = 0;
        DependencyCondition condition = DependencyCondition::ready;

        friend bool operator==(const Edge&, const Edge&) = default;
    };
    std::vector<std::vector<Edge>> dependencies;  ///< What each one depends on.
    std::vector<std::vector<Edge>> dependants;    ///< Who depends on it, and how.

    /// What names a service that there is not, or itself, has no edge.
    explicit ServiceGraph(const std::vector<Service>& services);

    [[nodiscard]] std::size_t size() const noexcept { return dependencies.size(); }
};

/// The places in an order in which each service comes after all that it depends on, otherwise in the given one. Those
/// on a cycle, and those that depend on one, are missing.
[[nodiscard]] std::vector<std::size_t> start_order(const ServiceGraph& graph);

/// All that is wrong with the services, each with its name and with what to write; empty if nothing is.
[[nodiscard]] std::vector<std::string> service_mistakes(const std::vector<Service>& services);

// -- implementation ----------------------------------------------------------

using ServicePlaces = std::map<std::string_view, std::size_t>;

/// Of two with one name, the first.
[[nodiscard]] inline ServicePlaces places_by_name(const std::vector<Service>& services) {
    ServicePlaces places;
    for (std::size_t i = 0; i < services.size(); ++i) places.emplace(services[i].name, i);
    return places;
}

inline ServiceGraph::ServiceGraph(const std::vector<Service>& services)
    : dependencies(services.size()), dependants(services.size()) {
    const auto places = places_by_name(services);
    for (std::size_t i = 0; i < services.size(); ++i) {
        for (const Dependency& dependency : services[i].depends_on) {
            const auto at = places.find(dependency.service);
            if (at == places.end() || at->second == i) continue;
            dependencies[i].push_back({at->second, dependency.condition});
            dependants[at->second].push_back({i, dependency.condition});
        }
    }
}

inline std::vector<std::size_t> start_order(const ServiceGraph& graph) {
    std::vector<std::size_t> missing(graph.size());
    std::vector<std::size_t> order;
    order.reserve(graph.size());
    for (std::size_t i = 0; i < graph.size(); ++i) {
        missing[i] = graph.dependencies[i].size();
        if (missing[i] == 0) order.push_back(i);
    }
    for (std::size_t next = 0; next < order.size(); ++next) {
        for (const auto& edge : graph.dependants[order[next]]) {
            if (--missing[edge.service] == 0) order.push_back(edge.service);
        }
    }
    return order;
}

/// The services of one cycle through the first of those that have no place in the order; nobody if there is none.
[[nodiscard]] inline std::vector<std::size_t> find_cycle(const ServiceGraph& graph, std::vector<bool>& is_done) {
    const auto first = std::find(is_done.begin(), is_done.end(), false);
    if (first == is_done.end()) return {};
    std::vector<std::size_t> path{static_cast<std::size_t>(first - is_done.begin())};
    for (;;) {  // one that is not done depends on such another one, or on a cycle that was found before
        const auto& edges = graph.dependencies[path.back()];
        const auto next = std::find_if(edges.begin(), edges.end(), [&](const auto& e) { return !is_done[e.service]; });
        if (next == edges.end()) {
            is_done[path.back()] = true;
            return {};
        }
        const auto seen = std::find(path.begin(), path.end(), next->service);
        if (seen != path.end()) return {seen, path.end()};
        path.push_back(next->service);
    }
}

/// "'a' -> 'b' -> 'a'"
[[nodiscard]] inline std::string cycle_in_words(const std::vector<Service>& services,
                                                const std::vector<std::size_t>& cycle) {
    std::string text;
    for (const std::size_t i : cycle) text += "'" + services[i].name + "' -> ";
    return text + "'" + services[cycle.front()].name + "'";
}

inline void add_cycles(const std::vector<Service>& services, std::vector<std::string>& found) {
    const ServiceGraph graph(services);
    std::vector<bool> is_done(services.size(), false);
    for (const std::size_t i : start_order(graph)) is_done[i] = true;
    while (std::find(is_done.begin(), is_done.end(), false) != is_done.end()) {
        const auto cycle = find_cycle(graph, is_done);
        for (const std::size_t i : cycle) is_done[i] = true;
        if (cycle.empty()) continue;
        found.push_back("the services depend on each other in a cycle: " + cycle_in_words(services, cycle) +
                        "; leave out one of these dependencies");
    }
}

/// What is wrong with what `service` says of the others.
inline void add_dependency_mistakes(const std::vector<Service>& services, const ServicePlaces& places,
                                    const Service& service, std::vector<std::string>& found) {
    const std::string who = "service '" + service.name + "': ";
    for (std::size_t i = 0; i < service.depends_on.size(); ++i) {
        const Dependency& dependency = service.depends_on[i];
        const std::string on = "'" + dependency.service + "'";
        const auto is_same = [&](const Dependency& other) { return other.service == dependency.service; };
        const auto former = service.depends_on.begin() + static_cast<std::ptrdiff_t>(i);
        if (std::find_if(service.depends_on.begin(), former, is_same) != former)
            found.push_back(who + "it depends on " + on + " twice; leave one condition");
        const auto at = places.find(dependency.service);
        if (at == places.end()) {
            found.push_back(who + "it depends on " + on + ", which is no service of this group; add it, or correct " +
                            "the name");
        } else if (dependency.service == service.name) {
            found.push_back(who + "it depends on itself; leave that out");
        } else if (dependency.condition >= DependencyCondition::completed &&
                   services[at->second].restart.mode == RestartMode::always) {
            found.push_back(who + "it waits until " + on + " is " + std::string(to_string(dependency.condition)) +
                            ", which is restarted always; write RestartMode::on_failure there, or another condition");
        }
    }
}

inline std::vector<std::string> service_mistakes(const std::vector<Service>& services) {
    std::vector<std::string> found;
    const auto places = places_by_name(services);
    for (std::size_t i = 0; i < services.size(); ++i) {
        const Service& service = services[i];
        const std::string who =
            service.name.empty() ? "service " + std::to_string(i + 1) + ": " : "service '" + service.name + "': ";
        for (const std::string& mistake : service.validate()) found.push_back(who + mistake);
        if (!service.name.empty() && places.at(service.name) != i)
            found.push_back(who + "another service has this name; choose another one");
        add_dependency_mistakes(services, places, service, found);
    }
    add_cycles(services, found);
    return found;
}

}  // namespace warden::detail
