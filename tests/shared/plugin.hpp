// SPDX-License-Identifier: MIT
// What each of the two shared libraries gives to the program that loads them.
#pragma once

struct Plugin {
    const void* (*manager)();                               ///< The instance that its code sees.
    int (*start)(const char* program, const char* name);    ///< The pid; kept running.
    int (*stop)(const char* name);                          ///< 1 if it was there and nothing of it is left.
    unsigned long (*active)();                              ///< How many processes run.
    int (*code_of)(const char* program, const char* code);  ///< How a short process ended.
};
