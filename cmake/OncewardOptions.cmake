# What a user may choose, and how our own code is compiled.
option(ONCEWARD_SQLITE "build onceward::sqlite" ON)
option(ONCEWARD_REDIS "build onceward::redis" ON)
option(ONCEWARD_BUILD_EXAMPLES "build the examples" ${PROJECT_IS_TOP_LEVEL})
option(ONCEWARD_BUILD_TESTS "build the tests" ${PROJECT_IS_TOP_LEVEL})
option(ONCEWARD_BUILD_BENCH "build the benchmarks (with the tests)" ${PROJECT_IS_TOP_LEVEL})
option(ONCEWARD_INSTALL "make the install rules" ${PROJECT_IS_TOP_LEVEL})
option(ONCEWARD_WERROR "warnings are errors in our own code" ${PROJECT_IS_TOP_LEVEL})
set(ONCEWARD_SANITIZE "" CACHE STRING "sanitizers of the whole build: address,undefined or thread")

if(PROJECT_IS_TOP_LEVEL)
  if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
  endif()
  set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
  find_program(ONCEWARD_CCACHE ccache)
  if(ONCEWARD_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
    set(CMAKE_CXX_COMPILER_LAUNCHER ${ONCEWARD_CCACHE})
  endif()
endif()
if(NOT CMAKE_CXX_STANDARD)
  set(CMAKE_CXX_STANDARD 20)
endif()
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

add_library(onceward_warnings INTERFACE)
target_compile_options(onceward_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wnon-virtual-dtor -Wold-style-cast
  -Woverloaded-virtual -Wno-missing-field-initializers $<$<BOOL:${ONCEWARD_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  # GCC 12 sees overlaps in std::string's operator+ that are not there (GCC bug 105329).
  target_compile_options(onceward_warnings INTERFACE -Wno-restrict)
  if(ONCEWARD_SANITIZE)
    # Its instrumentation hides from GCC 12 which member of a std::variant is alive; the plain builds do warn.
    target_compile_options(onceward_warnings INTERFACE -Wno-maybe-uninitialized)
  endif()
endif()

if(ONCEWARD_SANITIZE)
  add_compile_options(-fsanitize=${ONCEWARD_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${ONCEWARD_SANITIZE})
endif()
