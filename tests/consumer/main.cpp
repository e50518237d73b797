// SPDX-License-Identifier: MIT
// A stranger's first program.
#include <warden/warden.hpp>

int main() { return warden::ProcessManager::instance().run({"true"}).status.success() ? 0 : 1; }
