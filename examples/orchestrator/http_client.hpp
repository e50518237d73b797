// SPDX-License-Identifier: MIT
#pragma once

#include <boost/asio/awaitable.hpp>

#include <cstdint>
#include <string>

namespace demo {

/// The body of `GET target` from a server on this machine. Throws unless it answers 200.
[[nodiscard]] boost::asio::awaitable<std::string> http_get(std::uint16_t port, std::string target);

}  // namespace demo
