# Drives chat-manager as a user does.
#   cmake -D WARDENCTL=... -D DATA=<directory, made anew> -P check.cmake
cmake_minimum_required(VERSION 3.25)
find_program(python python3)
if(NOT python)
    message("SKIPPED: there is no python3, on which the server of chat-manager runs")
    return()
endif()
file(REMOVE_RECURSE ${DATA})
file(MAKE_DIRECTORY ${DATA})
file(CHMOD ${DATA} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE)
set(ENV{WARDEN_DATA_DIRECTORY} ${DATA})
set(ENV{WARDENCTL} ${WARDENCTL})
set(manager ${CMAKE_CURRENT_LIST_DIR}/chat-manager)

# Red unless its exit code is `code` and its output, stderr too, matches `regex`.
macro(expect code regex)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output TIMEOUT 60)
    string(STRIP "${output}" output)
    string(REPLACE ";" " " shown "${ARGN}")
    message("$ ${shown}\n${output}")
    if(NOT result STREQUAL "${code}")
        message(SEND_ERROR "exit code ${result}, wanted ${code}")
    elseif(NOT output MATCHES "${regex}")
        message(SEND_ERROR "the output does not match ${regex}")
    endif()
endmacro()
set(ask ${python} -c "import sys, urllib.request
print(urllib.request.urlopen('http://127.0.0.1:' + sys.argv[1] + '/hi', timeout=10).read().decode())")

# A port that is free now.
execute_process(COMMAND ${python} -c "import socket
s = socket.socket()
s.bind(('127.0.0.1', 0))
print(s.getsockname()[1])" OUTPUT_VARIABLE port OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

unset(ENV{CHAT_GREETING})
expect(0 "chat-manager start .PORT." ${manager} help)
expect(2 "chat-manager start .PORT." ${manager} dance)
expect(1 "CHAT_GREETING is not set" ${manager} start ${port})
set(ENV{CHAT_GREETING} hello)
expect(1 "port none is in use, or is none" ${manager} start none)
expect(0 "chat runs on http://127.0.0.1:${port} " ${manager} start ${port})
expect(0 "{\"answer\": \"hello\", \"path\": \"/hi\"}" ${ask} ${port})
expect(1 "it runs already" ${manager} start ${port})
expect(0 "state +running\n.*127.0.0.1 \"GET /hi HTTP/1.1\" 200" ${manager} status)
expect(0 "^listening on ${port}$" sh -c "'${manager}' logs | head -n 1")
set(ENV{CHAT_GREETING} again)
expect(0 "chat was started again" ${manager} restart)
expect(0 "\"answer\": \"again\"" ${ask} ${port})
expect(0 "chat .*: exited with code 0\n  terminate: " ${manager} stop)
expect(3 "state +exited" ${manager} status)
expect(0 "chat runs on" ${manager} start ${port})
expect(0 "chat .*: ended by signal 9" ${manager} force-stop)

# Another program has the port.
execute_process(COMMAND ${WARDENCTL} run -d --name squatter --env PORT=${port} --
    ${python} -u ${CMAKE_CURRENT_LIST_DIR}/server.py OUTPUT_VARIABLE squatter OUTPUT_STRIP_TRAILING_WHITESPACE)
expect(0 "listening" sh -c "'${WARDENCTL}' logs -f ${squatter} | head -n 1")
expect(1 "port ${port} is in use" ${manager} start ${port})
expect(0 "" ${WARDENCTL} stop squatter)

file(GLOB_RECURSE logs RELATIVE ${DATA} ${DATA}/chat_*.log)
list(LENGTH logs count)
if(count LESS 2 OR NOT logs MATCHES "chat_20[0-9][0-9][0-1][0-9][0-3][0-9]_[0-2][0-9][0-5][0-9][0-5][0-9]\\.log")
    message(SEND_ERROR "the logs are not named as they should be: ${logs}")
endif()
