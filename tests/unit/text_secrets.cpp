// SPDX-License-Identifier: MIT
#include <support/catch.hpp>
#include <warden/detail/text/secrets.hpp>

#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace warden::detail;

TEST_CASE("secrets: a name is secret by its last word") {
    for (const std::string_view name :
         {"password", "--password", "PGPASSWORD_FILE_TOKEN", "api-key", "AWS_SECRET_ACCESS_KEY", "accessToken",
          "db.passwd", "Authorization", "X-Api-Key", "client_secret"}) {
        INFO(name);
        CHECK(is_secret_name(name));
    }
    for (const std::string_view name : {"", "-", "key", "--key", "monkey", "tokens", "tokenizer", "password-stdin",
                                        "secretary", "max_tokens", "keyboard", "author"}) {
        INFO(name);
        CHECK_FALSE(is_secret_name(name));
    }
}

TEST_CASE("secrets: each shape loses its value and nothing else") {
    const std::array<std::pair<std::string_view, std::string_view>, 21> rows{{
        {"--token=abc", "--token=[redacted]"},
        {"--password abc --verbose", "--password [redacted] --verbose"},
        {"mysql --password 'a b' -h host", "mysql --password '[redacted]' -h host"},
        {"PASSWORD=abc make -j2", "PASSWORD=[redacted] make -j2"},
        {"AWS_SECRET_KEY=abc", "AWS_SECRET_KEY=[redacted]"},
        {"Authorization: Bearer abc.def", "Authorization: [redacted]"},
        {"curl -H 'Authorization: Basic abc==' http://host", "curl -H 'Authorization: [redacted]' http://host"},
        {"authorization: Bearer abc\nAccept: text/html", "authorization: [redacted]\nAccept: text/html"},
        {"{\"token\": \"abc\", \"name\": \"x\"}", "{\"token\": \"[redacted]\", \"name\": \"x\"}"},
        {"https://user:abc@host/path", "https://user:[redacted]@host/path"},
        {"user:abc@host", "user:[redacted]@host"},
        {"http://host/?token=abc&page=2", "http://host/?token=[redacted]&page=2"},
        {"http://host:8080/a@b", "http://host:8080/a@b"},
        {"user@host:path", "user@host:path"},
        {"--max-tokens 5 --key file.pem", "--max-tokens 5 --key file.pem"},
        {"the password is wrong", "the password is wrong"},
        {"--password", "--password"},
        {"--token=", "--token="},
        {"token: ", "token: "},
        {"", ""},
        {"caf\xc3\xa9 \xff password=\xff\xfe end", "caf\xc3\xa9 \xff password=[redacted] end"},
    }};
    for (const auto& [text, wanted] : rows) CHECK(without_secrets(text) == wanted);
}

TEST_CASE("secrets: an option has its value in the next argument, with whatever is in it") {
    using Words = std::vector<std::string>;
    CHECK(without_secrets(Words{"--password", "a b", "--verbose"}) == Words{"--password", "[redacted]", "--verbose"});
    CHECK(without_secrets(Words{"--token", "--password", "x"}) == Words{"--token", "[redacted]", "x"});
    CHECK(without_secrets(Words{"-e", "API_KEY=a, b & c"}) == Words{"-e", "API_KEY=[redacted]"});
    CHECK(without_secrets(Words{"password", "x"}) == Words{"password", "x"});
    CHECK(without_secrets(Words{"--password"}) == Words{"--password"});
    CHECK(without_secrets(Words{}).empty());
}
