// SPDX-License-Identifier: MIT
#include <warden/warden.hpp>

warden::ProcessManager* manager_seen_by_b();

int main() { return &warden::ProcessManager::instance() == manager_seen_by_b() ? 0 : 1; }
