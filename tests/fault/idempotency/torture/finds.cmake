# Runs the torture test over guards that are broken on purpose: it has to find violations, and the ones expected.
execute_process(COMMAND ${TORTURE} --storage sqlite --seconds 5 --seed 5 --break ${BROKEN}
  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE code)
message("${output}")
if(NOT code EQUAL 1 OR NOT output MATCHES "violation of ${RULE}, key")
  message(FATAL_ERROR "broken ${BROKEN} were not found by the rule ${RULE} (exit code ${code})")
endif()
