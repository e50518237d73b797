// SPDX-License-Identifier: MIT
#include <warden/warden.hpp>

warden::ProcessManager* manager_seen_by_b();

warden::ProcessManager* manager_seen_by_b() { return &warden::ProcessManager::instance(); }
