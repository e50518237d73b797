# -- one idea each ------------------------------------------------------------------
check_example("run" RUN 01_run OUTPUT "apple\nbanana\ncherry" "exited with code 0 .cause: exited.")
check_example("run, another command" RUN 01_run sh -c "echo words" EXIT 0 OUTPUT "words")
check_example("run, an exit code" RUN 01_run sh -c "exit 7" EXIT 7 OUTPUT "exited with code 7")
check_example("run, no such program" RUN 01_run no-such-program EXIT 127
    OUTPUT "cannot start 'no-such-program': executable")
check_example("spawn and wait" RUN 02_spawn_and_wait EXIT 3 OUTPUT "exited with code 3" "still running: 0")
check_example("stop plan" RUN 03_stop_plan EXIT 137
    OUTPUT "signal: [0-9]+ ms" "terminate: [0-9]+ ms" "kill: [0-9]+ ms, that ended it" "force_killed, cause forced")
check_example("lines" RUN 04_lines OUTPUT "out . one" "err . oops" "out . no newline" "3 lines; exited with code 0")
check_example("log" RUN 05_log OUTPUT "588895 bytes were written" "  99999\n  100000\nwithin the bound")
check_example("async" RUN 06_async OUTPUT "process 2 exited with code 0" "all three have ended")
check_example("events" RUN 07_events EXIT 4
    OUTPUT "warden.process.spawn" "warden.process.exit" "experiment" "warden_spawned_total.*host=.example.*1")
check_example("communicate" RUN 08_communicate OUTPUT "DEAR PROCESS," "([0-9]+) bytes went in, ([0-9]+) came out")
check_example("preflight, missing" RUN 09_preflight EXIT 2 OUTPUT "EXAMPLE_TOKEN is not set")
check_example("preflight, there" RUN 09_preflight ENV EXAMPLE_TOKEN=x OUTPUT "all checks passed")
check_example("pipeline" RUN 10_pipeline OUTPUT "the most frequent word: pear" "uniq -c: exited with code 0")
check_example("alerts" RUN 11_alerts EXIT 1 OUTPUT "stdout: error: disk is slow" "signal 15.*, cause stopped")
check_example("follow" RUN 12_follow OUTPUT "108899 bytes were written")

# -- the tool -------------------------------------------------------------------------
if(NOT TARGET wardenctl)
    return()
endif()
check_example("wardenctl, version" RUN wardenctl --version OUTPUT "wardenctl ${PROJECT_VERSION}")
check_example("wardenctl, help" RUN wardenctl run --help OUTPUT "wardenctl run .OPTIONS" "--timeout DURATION")
check_example("wardenctl, output and exit code" RUN wardenctl run -- sh -c "echo out$<SEMICOLON> exit 5" EXIT 5 OUTPUT "out")
check_example("wardenctl, a signal" RUN wardenctl run -- sh -c "kill -SEGV $$" EXIT 139)
check_example("wardenctl, timed out" RUN wardenctl run --timeout 100ms sleep 1000 EXIT 124)
check_example("wardenctl, not found" RUN wardenctl run -- no-such-program EXIT 127 OUTPUT "cannot start 'no-such-program'")
check_example("wardenctl, not executable" RUN wardenctl run -- /etc/passwd EXIT 126 OUTPUT "cannot start '/etc/passwd'")
check_example("wardenctl, its own failure" RUN wardenctl run --timeout soon -- true EXIT 125 OUTPUT "'soon' is no duration")
check_example("wardenctl, json" RUN wardenctl run --quiet --json --name job -- sh -c "exit 2" EXIT 2
    OUTPUT "\"name\":\"job\"" "\"exit_code\":2" "\"cause\":\"exited\"")
check_example("wardenctl, in a pipeline" RUN wardenctl run -- sh -c "\"$0\" run -- seq 1 200000 | tail -n 1" $<TARGET_FILE:wardenctl>
    OUTPUT "200000")
check_example("wardenctl, whose reader goes away" RUN wardenctl run -- sh -c "\"$0\" run -- yes | head -n 1" $<TARGET_FILE:wardenctl>
    OUTPUT "^y\n")
check_example("wardenctl, the help of logs" RUN wardenctl logs --help OUTPUT "logs .OPTIONS. NAME.UUID.PATH" "--follow")
check_example("wardenctl, logs by name" RUN wardenctl run -- sh -c
    "\"$0\" run --quiet --name counter -- seq 20 && \"$0\" logs -n 3 counter" $<TARGET_FILE:wardenctl>
    OUTPUT "^18\n19\n20\n")
check_example("wardenctl, logs by the beginning of a uuid" RUN wardenctl run -- sh -c
    "id=$(\"$0\" run --quiet --json -- seq 20 | sed 's/.*\"uuid\":\"\\(.\\{13\\}\\).*/\\1/') && \"$0\" logs \"$id\" --json"
    $<TARGET_FILE:wardenctl>
    OUTPUT "^{\"text\":\"11\"}\n.*{\"text\":\"20\"}\n")
check_example("wardenctl, logs by path" RUN wardenctl run -- sh -c
    "seq 20 > \"$1\" && \"$0\" logs -n 2 \"$1\"" $<TARGET_FILE:wardenctl> ${CMAKE_CURRENT_BINARY_DIR}/by_path.log
    OUTPUT "^19\n20\n")
check_example("wardenctl, logs followed by a reader that goes away" RUN wardenctl run -- sh -c
    "\"$0\" run --quiet --name followed -- seq 20 && \"$0\" logs -n 5 -f followed | head -n 2" $<TARGET_FILE:wardenctl>
    OUTPUT "^16\n17\n")
check_example("wardenctl, no such log" RUN wardenctl logs nobody EXIT 125
    OUTPUT "no log of 'nobody' below .*logs: looked for a process of that name" "WARDEN_DATA_DIRECTORY")
check_example("wardenctl, no word for logs" RUN wardenctl logs EXIT 125 OUTPUT "one name or uuid of a process")

check_example("wardenctl, completion for bash" RUN wardenctl run -- bash -c
    "source <(\"$0\" completion bash)$<SEMICOLON> COMP_WORDS=(wardenctl st)$<SEMICOLON> COMP_CWORD=1$<SEMICOLON> _wardenctl$<SEMICOLON> echo \"\${COMPREPLY[@]}\"$<SEMICOLON> COMP_WORDS=(wardenctl restart --pa)$<SEMICOLON> COMP_CWORD=2$<SEMICOLON> _wardenctl$<SEMICOLON> echo \"\${COMPREPLY[@]}\""
    $<TARGET_FILE:wardenctl> OUTPUT "^status stop\n--pause\n")
check_example("wardenctl, completion for zsh" RUN wardenctl completion zsh
    OUTPUT "^#compdef wardenctl\n" "'restart:Stops a detached process" "'--pause:Between")
check_example("wardenctl, the manual page" RUN wardenctl man
    OUTPUT "^.TH WARDENCTL 1\n" "\n.SS wardenctl restart .OPTIONS. NAME.UUID\n" "\n.B ..n, ....lines N\n" "Exit code: 0 it runs")
if(WARDEN_BUILD_TESTS AND NOT WARDEN_PORTABLE_POSIX)
    add_test(NAME "example: chat-manager" COMMAND ${CMAKE_COMMAND} -D WARDENCTL=$<TARGET_FILE:wardenctl>
        -D DATA=${CMAKE_CURRENT_BINARY_DIR}/chat -P ${CMAKE_CURRENT_LIST_DIR}/chat-manager/check.cmake)
    set_tests_properties("example: chat-manager" PROPERTIES LABELS example TIMEOUT 120
        SKIP_REGULAR_EXPRESSION "^SKIPPED: ")
endif()

# -- the tool, and processes that outlive it ---------------------------------------------
if(WARDEN_BUILD_TESTS AND NOT WARDEN_PORTABLE_POSIX)
    add_test(NAME "example: wardenctl, detached processes" COMMAND ${CMAKE_COMMAND}
        -D README=${PROJECT_SOURCE_DIR}/README.md
        -D WARDENCTL=$<TARGET_FILE:wardenctl> -D GENERATE=$<TARGET_FILE:generate>
        -D DATA=${CMAKE_CURRENT_BINARY_DIR}/detached -P ${CMAKE_CURRENT_LIST_DIR}/check_detached.cmake)
    set_tests_properties("example: wardenctl, detached processes" PROPERTIES LABELS example TIMEOUT 180)
endif()
