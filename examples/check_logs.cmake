# Runs a command by `wardenctl run`, then finds its log by uuid with `wardenctl logs`. PROGRAM is how to start wardenctl,
# COMMAND what it runs, OUTPUT a regex for the last three lines; LOG is the beginning of the names of two files for output.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND ${PROGRAM} run --quiet --json -- ${COMMAND}
    OUTPUT_FILE ${LOG}-run.txt ERROR_FILE ${LOG}-run.txt COMMAND_ERROR_IS_FATAL ANY)
file(READ ${LOG}-run.txt json)
string(JSON uuid GET "${json}" uuid)
execute_process(COMMAND ${PROGRAM} logs -n 3 ${uuid}
    OUTPUT_FILE ${LOG}-logs.txt ERROR_FILE ${LOG}-logs.txt RESULT_VARIABLE code)
file(READ ${LOG}-logs.txt output)
string(REPLACE "\r\n" "\n" output "${output}")
message("${json}${output}")
if(NOT code EQUAL 0 OR NOT output MATCHES "${OUTPUT}")
    message(FATAL_ERROR "exit code ${code}, or the output does not match ${OUTPUT}")
endif()
