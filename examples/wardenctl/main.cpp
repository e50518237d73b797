// SPDX-License-Identifier: MIT
// wardenctl: processes that leave nothing behind, from a shell.

#include "system.hpp"
#include "verb.hpp"
#include <warden/detached/shim.hpp>
#include <warden/version.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <algorithm>
#include <exception>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::string version_text() {
    return "wardenctl " + std::to_string(warden::version.major_number) + '.' +
           std::to_string(warden::version.minor_number) + '.' + std::to_string(warden::version.patch_number);
}

/// What CLI11 would say too, but less clearly.
void check_verb(const CLI::App& app, const std::vector<std::string>& words) {
    if (words.empty()) throw CLI::RequiredError("a verb");
    const auto has_that_name = [&](const CLI::App* verb) { return verb->check_name(words.front()); };
    if (words.front().starts_with('-') || !app.get_subcommands(has_that_name).empty()) return;
    throw std::invalid_argument("there is no verb '" + words.front() + "' (wardenctl --help)");
}

/// Everything from the first word that is no option on, and everything after `--`.
wardenctl::Words words_of(const CLI::App& command, const std::vector<std::string>& after, bool separated) {
    wardenctl::Words words = command.remaining();
    if (!words.empty() && words.front().starts_with('-')) {
        throw CLI::ExtrasError(command.get_name(), {words.front()});
    }
    if (!words.empty() && separated) words.emplace_back("--");  // it belongs to the command
    words.insert(words.end(), after.begin(), after.end());
    return words;
}

}  // namespace

int main(int argc, char** argv) try {
    if (const auto code = warden::run_shim_if_asked(argc, argv)) return *code;  // for detached processes
    std::vector<std::string> before = wardenctl::begin(argc, argv);
    const auto separator = std::find(before.begin(), before.end(), "--");
    const bool separated = separator != before.end();
    const std::vector<std::string> after(separated ? std::next(separator) : separator, before.end());
    before.erase(separator, before.end());

    CLI::App app("Starts processes, watches them, keeps their output in bounded logs, and leaves none behind.",
                 "wardenctl");
    app.set_version_flag("--version", version_text());
    app.require_subcommand(1);
    app.get_formatter()->label("SUBCOMMAND", "VERB");
    app.get_formatter()->label("Subcommands", "Verbs");
    app.footer(
        "wardenctl VERB --help says more. Settings come from WARDEN_* variables too, for example\n"
        "WARDEN_DATA_DIRECTORY and WARDEN_MECHANISM.");
    const std::vector verbs{wardenctl::add_run(app),        wardenctl::add_list(app),       wardenctl::add_status(app),
                            wardenctl::add_logs(app),       wardenctl::add_attach(app),     wardenctl::add_wait(app),
                            wardenctl::add_stop(app),       wardenctl::add_force_stop(app), wardenctl::add_restart(app),
                            wardenctl::add_remove(app),     wardenctl::add_cleanup(app),    wardenctl::add_health(app),
                            wardenctl::add_completion(app), wardenctl::add_man(app)};

    try {
        check_verb(app, before);
        std::reverse(before.begin(), before.end());  // as CLI11 wants it
        app.parse(std::move(before));
        for (const wardenctl::Verb& verb : verbs) {
            if (verb.command->parsed()) return verb.act(words_of(*verb.command, after, separated));
        }
        return wardenctl::own_failure;
    } catch (const CLI::Success& asked) {  // --help, --version
        return app.exit(asked);
    } catch (const CLI::ParseError& error) {
        std::cerr << "wardenctl: " << error.what() << " (wardenctl --help)\n";
    }
    return wardenctl::own_failure;
} catch (const std::exception& error) {
    std::cerr << "wardenctl: " << error.what() << '\n';
    return wardenctl::own_failure;
}
