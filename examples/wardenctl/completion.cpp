// SPDX-License-Identifier: MIT
// wardenctl completion, man: what shells and man(1) want to know, made from the same text as --help.

#include "detached.hpp"
#include "verb.hpp"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <vector>

namespace wardenctl {
namespace {

std::vector<const CLI::App*> visible_verbs(const CLI::App& app) {
    return app.get_subcommands([](const CLI::App* verb) { return !verb->get_group().empty(); });
}

/// As they are written: `-n`, `--lines`.
std::vector<std::string> spellings(const CLI::Option& option) {
    std::vector<std::string> found;
    for (const std::string& name : option.get_snames()) found.push_back('-' + name);
    for (const std::string& name : option.get_lnames()) found.push_back("--" + name);
    return found;
}

std::string join(const std::vector<std::string>& words, const char* separator) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : separator) + word;
    return text;
}

std::string usage_of(const CLI::App& verb) {
    std::string text = static_cast<const CLI::Formatter&>(*verb.get_formatter()).make_usage(&verb, "");  // of set_usage
    text.erase(0, text.find("wardenctl"));
    return text.substr(0, text.find('\n'));
}

bool takes_a_process(const CLI::App& verb) { return usage_of(verb).find("NAME") != std::string::npos; }

/// An entry for _describe of zsh.
std::string described(const std::string& word, const std::string& text) {
    std::string result = '\'' + word + ':';
    for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return result + '\'';
}

/// The names and uuids of detached processes, one a line.
std::string names() {
    std::set<std::string> words;
    for (const warden::DetachedInfo& info : detached_processes().list()) {
        words.insert(to_string(info.record.uuid));
        if (info.record.name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+@") ==
            std::string::npos)
            words.insert(info.record.name);  // others would have to be quoted
    }
    std::string text;
    for (const std::string& word : words) text += word.empty() ? "" : word + '\n';
    return text;
}

std::string for_bash(const CLI::App& app) {
    std::vector<std::string> verbs;
    std::string cases;
    for (const CLI::App* verb : visible_verbs(app)) {
        verbs.push_back(verb->get_name());
        std::vector<std::string> options;
        for (const CLI::Option* option : verb->get_options()) {
            for (std::string& word : spellings(*option)) options.push_back(std::move(word));
        }
        cases += "        " + verb->get_name() + ") options='" + join(options, " ") + "'";
        if (takes_a_process(*verb)) cases += " names=$(wardenctl completion names 2>/dev/null)";
        if (verb->get_name() == "run") cases += " programs=-c";
        cases += " ;;\n";
    }
    return "# bash completion for wardenctl, made by `wardenctl completion bash`\n"
           "_wardenctl() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} options= names= programs=\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W '--help --version " +
           join(verbs, " ") +
           "' -- \"$word\"))\n"
           "        return\n"
           "    fi\n"
           "    case ${COMP_WORDS[1]} in\n" +
           cases +
           "    esac\n"
           "    case $word in\n"
           "        -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
           "        *) COMPREPLY=($(compgen $programs -W \"$names\" -- \"$word\")) ;;\n"
           "    esac\n"
           "}\n"
           "complete -o default -F _wardenctl wardenctl\n";
}

std::string for_zsh(const CLI::App& app) {
    std::string verbs;
    std::string cases;
    for (const CLI::App* verb : visible_verbs(app)) {
        verbs += "        " + described(verb->get_name(), verb->get_description()) + '\n';
        cases += "        " + verb->get_name() + ")\n            options=(";
        for (const CLI::Option* option : verb->get_options()) {
            for (const std::string& word : spellings(*option))
                cases += "\n                " + described(word, option->get_description());
        }
        cases += ")\n";
        if (takes_a_process(*verb))
            cases += "            names=(${(f)\"$(wardenctl completion names 2>/dev/null)\"})\n";
        cases += "            ;;\n";
    }
    return "#compdef wardenctl\n"
           "# zsh completion for wardenctl, made by `wardenctl completion zsh`\n"
           "_wardenctl() {\n"
           "    local -a verbs options names\n"
           "    verbs=(\n" +
           verbs +
           "    )\n"
           "    if (( CURRENT == 2 )); then\n"
           "        _describe verb verbs\n"
           "        return\n"
           "    fi\n"
           "    case $words[2] in\n" +
           cases +
           "    esac\n"
           "    if [[ $PREFIX == -* ]]; then _describe option options\n"
           "    elif (( $#names )); then compadd -a names\n"
           "    else _default\n"
           "    fi\n"
           "}\n"
           "_wardenctl \"$@\"\n";
}

/// Text for troff: no line of it is a request, no backslash an escape, no dash a hyphen.
std::string roff(const std::string& text) {
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '\\') result += "\\e";
        else if (c == '-') result += "\\-";
        else if ((c == '.' || c == '\'') && (i == 0 || text[i - 1] == '\n')) result += std::string("\\&") + c;
        else result += c;
    }
    return result;
}

/// The footer of a help: each of its lines is a paragraph of its own, or goes on with the one before.
std::string paragraphs(const std::string& text) {
    std::string result;
    std::size_t begin = 0;
    while (begin < text.size()) {
        const std::size_t end = std::min(text.find('\n', begin), text.size());
        const std::string line = text.substr(begin, end - begin);
        if (line.starts_with("Example:") || line.starts_with("Exit code:")) result += ".PP\n";
        if (!line.empty()) result += roff(line) + '\n';
        begin = end + 1;
    }
    return result;
}

std::string options_of(const CLI::App& app) {
    std::string text;
    for (const CLI::Option* option : app.get_options()) {
        std::string heading = join(spellings(*option), ", ");
        const std::string type = option->get_type_name();
        if (option->get_items_expected_max() > 0 && !type.empty()) heading += ' ' + type;
        text += ".TP\n.B " + roff(heading) + '\n' + roff(option->get_description()) + '\n';
    }
    return text;
}

std::string manual(const CLI::App& app) {
    std::string text =
        ".TH WARDENCTL 1\n.SH NAME\nwardenctl \\- starts processes, watches them, and leaves none behind\n"
        ".SH SYNOPSIS\n";
    for (const CLI::App* verb : visible_verbs(app)) text += ".B " + roff(usage_of(*verb)) + "\n.br\n";
    text += ".SH DESCRIPTION\n" + roff(app.get_description()) + '\n' + paragraphs(app.get_footer());
    text += ".SH OPTIONS\n" + options_of(app) + ".SH VERBS\n";
    for (const CLI::App* verb : visible_verbs(app)) {
        text += ".SS " + roff(usage_of(*verb)) + '\n' + roff(verb->get_description()) + ".\n";
        const std::string end = paragraphs(verb->get_footer());
        text += options_of(*verb) + (end.starts_with(".PP") ? "" : ".PP\n") + end;
    }
    return text;
}

int complete(const CLI::App& app, const Words& words) {
    if (words == Words{"bash"}) print(for_bash(app));
    else if (words == Words{"zsh"}) print(for_zsh(app));
    else if (words == Words{"names"}) print(names());
    else throw CLI::RequiredError("bash or zsh");
    return 0;
}

}  // namespace

Verb add_completion(CLI::App& app) {
    CLI::App* command = app.add_subcommand("completion", "Prints the completion for bash or zsh");
    set_usage(*command, "completion bash|zsh");
    command->allow_extras()->group("");
    command->footer(
        "Example: wardenctl completion bash >~/.local/share/bash-completion/completions/wardenctl\n"
        "Exit code: 0; 125 another word.");
    return {command, [&app](const Words& words) { return complete(app, words); }};
}

Verb add_man(CLI::App& app) {
    CLI::App* command = app.add_subcommand("man", "Prints the manual page");
    set_usage(*command, "man");
    command->allow_extras()->group("");
    command->footer(
        "Example: wardenctl man | man -l -\n"
        "Exit code: 0.");
    return {command, [&app](const Words& words) {
                if (!words.empty()) throw CLI::ExtrasError("man", {words.front()});
                print(manual(app));
                return 0;
            }};
}

}  // namespace wardenctl
