# What must not compile is tested by running the compilers alone, without taking the build directory: the compiler of the build, and the other one of GCC and Clang where it is found.
set(compile_fail_build ${CMAKE_CXX_COMPILER})
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  set(compile_fail_ids gcc clang)
  find_program(ONCEWARD_OTHER_CXX clang++ DOC "a second compiler for the tests of what must not compile")
else()
  set(compile_fail_ids clang gcc)
  find_program(ONCEWARD_OTHER_CXX g++ DOC "a second compiler for the tests of what must not compile")
endif()
set(compile_fail_other ${ONCEWARD_OTHER_CXX})
if(NOT ONCEWARD_OTHER_CXX)
  message(STATUS "No second compiler: what must not compile is tested with ${CMAKE_CXX_COMPILER} alone")
endif()

# As the targets see them: Boost as a system header, unless the compiler looks there by itself.
set(compile_fail_flags -std=c++20 -Wall -Wextra -Wpedantic -I${PROJECT_SOURCE_DIR}/include)
foreach(folder ${Boost_INCLUDE_DIRS})
  if(NOT folder IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
    list(APPEND compile_fail_flags -isystem ${folder})
  endif()
endforeach()

# compile_fail(name file wrong expression): with ONCEWARD_WRONG=wrong the file does not compile, and the compiler says
# what the expression matches; any other failure does not count. Without an expression it must compile.
function(compile_fail name file wrong)
  list(GET compile_fail_ids 0 build)
  list(GET compile_fail_ids 1 other)
  foreach(which build other)
    if(NOT compile_fail_${which})
      continue()
    endif()
    set(test ${name}_${${which}})
    # What must compile also makes code: clang 14 has crashed there, on literals that it had accepted.
    set(mode -c -o /dev/null)
    if(ARGC GREATER 3)
      set(mode -fsyntax-only)
    endif()
    add_test(NAME ${test} COMMAND ${compile_fail_${which}} ${compile_fail_flags} ${mode} -DONCEWARD_WRONG=${wrong}
      ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    set_tests_properties(${test} PROPERTIES LABELS unit TIMEOUT 60 ENVIRONMENT "LC_ALL=C")
    if(ARGC GREATER 3)
      set_tests_properties(${test} PROPERTIES PASS_REGULAR_EXPRESSION "${ARGV3}")
    endif()
  endforeach()
endfunction()

# compile_refused(name file wrong sentence): the same, where the sentence is of a static_assert.
function(compile_refused name file wrong sentence)
  compile_fail(${name} ${file} ${wrong} "error: static.assert[^\r\n]*${sentence}")
endfunction()
