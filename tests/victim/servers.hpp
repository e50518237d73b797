// SPDX-License-Identifier: MIT
// The modes that listen, and that speak to a notification socket.
#pragma once

#include <functional>
#include <string>
#include <vector>

/// Listens as the arguments say, and calls `announce` with "port N" or "listening"; see servers.cpp. Returns only if it
/// could not.
int serve(const std::vector<std::string>& arguments, const std::function<void(const std::string&)>& announce);

/// Sends each argument to the notification socket. Whether it could.
bool notify(const std::vector<std::string>& messages);
