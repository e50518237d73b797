// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/environment.hpp>

#include <optional>
#include <string>

using namespace warden;

TEST_CASE("environment: inherits unless it is asked to be empty, and the last word on a key wins") {
    CHECK(Environment().inherits());
    CHECK(Environment::inherit().inherits());
    CHECK_FALSE(Environment::empty().inherits());
    const auto environment =
        Environment::empty().set("A", "1").set("A", "2").set("B", "").unset("C").set("D", "x").unset("D");
    CHECK(environment.changes().size() == 4);
    CHECK(environment.changes().at("A") == "2");
    CHECK(environment.changes().at("B") == "");
    CHECK(environment.changes().at("C") == std::nullopt);
    CHECK(environment.changes().at("D") == std::nullopt);
}

TEST_CASE("environment: a key that is empty or holds an equals sign is refused, and so is a NUL byte anywhere") {
    const std::string nul("a\0b", 3);
    CHECK(Environment().set("", "x").validate() == errc::invalid_environment);
    CHECK(Environment().set("A=B", "x").validate() == errc::invalid_environment);
    CHECK(Environment().set("=", "x").validate() == errc::invalid_environment);
    CHECK(Environment().unset("").validate() == errc::invalid_environment);
    CHECK(Environment().unset("A=").validate() == errc::invalid_environment);
    CHECK(Environment().set(nul, "x").validate() == errc::invalid_environment);
    CHECK(Environment().set("A", nul).validate() == errc::invalid_environment);
    CHECK(Environment().set("A", "x").set("B", nul).validate() == errc::invalid_environment);
    CHECK_FALSE(Environment().validate());
    CHECK_FALSE(Environment().set("A", "b=c\n\xFF").set("a b", "").unset("C").validate());
}
