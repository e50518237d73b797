// SPDX-License-Identifier: MIT
// What children write arrives as they wrote it, whatever the locale.
#include <scenarios/output.hpp>

#include <clocale>

using namespace support;

namespace {

/// Another locale as long as it lives.
class Locale {
public:
    explicit Locale(const char* name) : before_(std::setlocale(LC_ALL, nullptr)) {
        is_set = std::setlocale(LC_ALL, name) != nullptr;
    }
    Locale(const Locale&) = delete;
    ~Locale() { std::setlocale(LC_ALL, before_.c_str()); }

    bool is_set = false;

private:
    std::string before_;
};

}  // namespace

TEST_CASE("scenario: the locale changes nothing", "[scenario]") {
    TestManager manager;
    const auto metrics = manager->metrics();
    const std::string told = warden::to_prometheus(metrics);
    const Locale german("German");
    REQUIRE(german.is_set);
    const std::string text = all_byte_values();
    CHECK((manager->run(play("echo"), {}, text).out == text));
    CHECK(warden::to_prometheus(metrics) == told);
}
