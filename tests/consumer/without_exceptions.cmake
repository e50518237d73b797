# Compiles the consumer without exceptions: the compiler must say one sentence of ours, and no more errors than that one
# and the one that ends the compilation.
#   cmake -D SOURCE=.. -D CXX=.. -P without_exceptions.cmake
cmake_minimum_required(VERSION 3.25)

execute_process(COMMAND ${CXX} -std=c++20 -fno-exceptions -fsyntax-only -I ${SOURCE}/include
    ${CMAKE_CURRENT_LIST_DIR}/main.cpp
    RESULT_VARIABLE code OUTPUT_VARIABLE text ERROR_VARIABLE text)
message("${text}")
string(REGEX MATCHALL "error:[^\n]*" errors "${text}")
list(LENGTH errors count)
list(GET errors 0 first)
if(code EQUAL 0 OR NOT count EQUAL 2 OR NOT first MATCHES "warden needs exceptions: compile without -fno-exceptions")
    message(FATAL_ERROR "exit code ${code}, ${count} errors, the first is: ${first}")
endif()
