# Runs the chaos test over steps that are broken on purpose: it has to find violations, and the ones expected.
execute_process(COMMAND ${CHAOS} --storage sqlite --runs 200 --seed 5 --break ${BROKEN}
  OUTPUT_VARIABLE output ERROR_VARIABLE output RESULT_VARIABLE code)
message("${output}")
if(NOT code EQUAL 1 OR NOT output MATCHES "violation of ${RULE}, run")
  message(FATAL_ERROR "broken ${BROKEN} were not found by the rule ${RULE} (exit code ${code})")
endif()
