// SPDX-License-Identifier: MIT
// What initializers of Boost.Process v2 make of the streams of a child on Windows.
#include <support/initializers.hpp>

#include <boost/process/v2/stdio.hpp>

#include <windows/scenario_start.hpp>

using namespace support;
namespace process2 = boost::process::v2;

TEST_CASE("scenario: process_stdio with null devices leaves the child its three streams", "[scenario]") {
    TestManager manager;
    const auto out = manager.directory / "out";
    auto process =
        manager->spawn(victim("streams"), {}, process2::process_stdio{nullptr, BoostPath(out.native()), nullptr});
    CHECK(process.wait().success());
    CHECK(read_file(out) == "char\ndisk\nchar\n");
}
