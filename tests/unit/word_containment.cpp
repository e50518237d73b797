// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/containment.hpp>

#include <array>
#include <set>
#include <string_view>

using namespace warden;

TEST_CASE("containment: a demand is met by whatever promises at least that, for all combinations of promises") {
    constexpr auto bit = [](unsigned bits, unsigned n) { return ((bits >> n) & 1u) != 0; };
    for (unsigned promised = 0; promised < 8; ++promised) {
        for (unsigned demanded = 0; demanded < 8; ++demanded) {
            const ContainmentReport report{Mechanism::keeper, bit(promised, 0), bit(promised, 1), bit(promised, 2), {}};
            const ContainmentDemand demand{Mechanism::automatic, bit(demanded, 0), bit(demanded, 1), bit(demanded, 2)};
            CHECK(meets(report, demand) == ((demanded & ~promised) == 0));
        }
    }
}

TEST_CASE("containment: a demanded mechanism is met by no other, however strong") {
    const ContainmentReport cgroup{Mechanism::cgroup, true, true, true, {}};
    CHECK(meets(cgroup, {}));
    CHECK(meets(cgroup, {.mechanism = Mechanism::cgroup}));
    CHECK_FALSE(meets(cgroup, {.mechanism = Mechanism::process_group}));
    CHECK_FALSE(meets(ContainmentReport{}, {.covers_setsid = true}));
}

TEST_CASE("mechanism: each has a name of its own") {
    std::set<std::string_view> names;
    for (int i = 0; i <= static_cast<int>(Mechanism::job_object); ++i) {
        names.insert(to_string(static_cast<Mechanism>(i)));
    }
    CHECK(names.size() == static_cast<std::size_t>(Mechanism::job_object) + 1);
    CHECK(names.count("") == 0);
    CHECK(to_string(Mechanism::automatic) == "auto");
    CHECK(to_string(Mechanism::job_object) == "job_object");
}
