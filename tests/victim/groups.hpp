// SPDX-License-Identifier: MIT
// The modes that misuse control groups.
#pragma once

#include <string>
#include <vector>

/// Does to the group that it is in what the argument says, before it announces itself; see groups.cpp.
/// Whether it could.
bool misuse_own_group(const std::string& how);

/// Does to the groups beside its own what the argument says. Whether it could.
bool misuse_other_groups(const std::string& how);

/// Leaves the tree's group for the one above the manager's. Whether it could.
bool leave_groups();
