# Commands that Windows and Wine have: cmd, ping.

# -- one idea each ------------------------------------------------------------------
check_example("run, another command" RUN 01_run cmd /c "echo words" OUTPUT "words" "exited with code 0 .cause: exited.")
check_example("run, an exit code" RUN 01_run cmd /c "exit 7" EXIT 7 OUTPUT "exited with code 7")
check_example("run, no such program" RUN 01_run no-such-program EXIT 127
    OUTPUT "cannot start 'no-such-program': executable")
check_example("lines" RUN 04_lines cmd /c "echo one& echo oops>&2& echo two"
    OUTPUT "out . one" "err . oops" "3 lines$<SEMICOLON> exited with code 0")
check_example("log" RUN 05_log cmd /c "for /l %i in (1,1,1000) do @echo line %i" OUTPUT "line 1000" "within the bound")
check_example("async" RUN 06_async cmd /c "exit 3" EXIT 3
    OUTPUT "process 2 exited with code 3" "all three have ended")
check_example("events" RUN 07_events cmd /c "exit 4" EXIT 4
    OUTPUT "warden.process.spawn" "warden.process.exit" "experiment" "warden_spawned_total.*host=.example.*1")
check_example("preflight, missing" RUN 09_preflight cmd /c "exit 0" EXIT 2 OUTPUT "EXAMPLE_TOKEN is not set")
check_example("preflight, there" RUN 09_preflight cmd /c "echo all checks passed" ENV EXAMPLE_TOKEN=x
    OUTPUT "all checks passed")
check_example("alerts" RUN 11_alerts cmd /c "echo listening& echo error: disk is slow& echo panic& ping -n 1000 127.0.0.1"
    EXIT 1 OUTPUT "stdout: error: disk is slow" "cause stopped|cause forced")

check_example("the demo" RUN orchestrator OUTPUT "All of it is so")

# -- the tool -------------------------------------------------------------------------
if(NOT TARGET wardenctl)
    return()
endif()
check_example("wardenctl, version" RUN wardenctl --version OUTPUT "wardenctl ${PROJECT_VERSION}")
check_example("wardenctl, help" RUN wardenctl run --help OUTPUT "wardenctl run .OPTIONS" "job_object")
check_example("wardenctl, output and exit code" RUN wardenctl run -- cmd /c "echo out& exit 5" EXIT 5 OUTPUT "^out\n")
check_example("wardenctl, timed out" RUN wardenctl run --timeout 100ms -- ping -n 1000 127.0.0.1 EXIT 124)
check_example("wardenctl, not found" RUN wardenctl run -- no-such-program EXIT 127 OUTPUT "cannot start 'no-such-program'")
check_example("wardenctl, its own failure" RUN wardenctl run --timeout soon -- cmd /c "exit 0" EXIT 125
    OUTPUT "'soon' is no duration")
check_example("wardenctl, a mechanism of other systems" RUN wardenctl run --mechanism cgroup -- cmd /c "exit 0" EXIT 125
    OUTPUT "there is no 'cgroup' on Windows")
check_example("wardenctl, json" RUN wardenctl run --quiet --json --name job -- cmd /c "exit 2" EXIT 2
    OUTPUT "\"name\":\"job\"" "\"exit_code\":2" "\"cause\":\"exited\"" "\"containment\":\"job_object\"")
check_example("wardenctl, the help of logs" RUN wardenctl logs --help OUTPUT "logs .OPTIONS. NAME.UUID.PATH" "--follow")
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/data/logs/another/counter.log "18\n19\n20\n")  # its name says whose it is
check_example("wardenctl, logs by name" RUN wardenctl logs -n 2 counter OUTPUT "^19\n20\n")
check_example("wardenctl, logs by path" RUN wardenctl logs --json -n 2 data/logs/another/counter.log
    OUTPUT "^{.text.:.19.}\n{.text.:.20.}\n")
check_example("wardenctl, no such log" RUN wardenctl logs nobody EXIT 125
    OUTPUT "no log of 'nobody' below .*logs: looked for a process of that name" "WARDEN_DATA_DIRECTORY")
check_example("wardenctl, no word for logs" RUN wardenctl logs EXIT 125 OUTPUT "one name or uuid of a process")
if(WARDEN_BUILD_TESTS)
    add_test(NAME "example: wardenctl, logs by uuid" COMMAND ${CMAKE_COMMAND}
        -D "PROGRAM=${CMAKE_CROSSCOMPILING_EMULATOR};$<TARGET_FILE:wardenctl>"
        -D "COMMAND=cmd;/c;for /l %i in (1,1,20) do @echo %i" -D "OUTPUT=^18\n19\n20\n"
        -D LOG=${CMAKE_CURRENT_BINARY_DIR}/checks/logs_by_uuid -P ${CMAKE_CURRENT_LIST_DIR}/check_logs.cmake)
    get_test_property("example: wardenctl, no such log" ENVIRONMENT environment)
    set_tests_properties("example: wardenctl, logs by uuid"
        PROPERTIES LABELS example TIMEOUT 120 ENVIRONMENT "${environment}")
endif()
