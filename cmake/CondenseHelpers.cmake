# condense_library(NAME SRCS... [DEPS...] [PRIVATE_DEPS...])
#   One static library per folder, target condense_NAME, alias condense::NAME.
# condense_test(NAME SRCS... [DEPS...] [LABELS...] [ENV...] [TIMEOUT SECONDS])
#   One GoogleTest binary, one ctest entry per test case; with TORCH one entry
#   per binary, because a process that links LibTorch needs a second to start.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

set(CONDENSE_SANITIZE "" CACHE STRING "Sanitizers for all of our code, e.g. address,undefined")
if(CONDENSE_SANITIZE)
  add_compile_options(-fsanitize=${CONDENSE_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CONDENSE_SANITIZE})
endif()

find_program(CONDENSE_CCACHE ccache)
if(CONDENSE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      ${CONDENSE_CCACHE})
endif()
find_program(CONDENSE_MOLD mold)
if(CONDENSE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

function(condense_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wno-unused-parameter
                         -Wno-missing-field-initializers)
endfunction()

function(condense_library)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  add_library(condense_${ARG_NAME} STATIC ${ARG_SRCS})
  add_library(condense::${ARG_NAME} ALIAS condense_${ARG_NAME})
  target_include_directories(condense_${ARG_NAME} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(condense_${ARG_NAME} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  condense_warnings(condense_${ARG_NAME})
endfunction()

function(condense_binary)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_include_directories(${ARG_NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS})
  condense_warnings(${ARG_NAME})
  install(TARGETS ${ARG_NAME} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

include(GoogleTest)
function(condense_test)
  cmake_parse_arguments(ARG "TORCH" "NAME;TIMEOUT" "SRCS;DEPS;LABELS;ENV" ${ARGN})
  if(NOT BUILD_TESTING)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_include_directories(${ARG_NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest GTest::gtest_main)
  condense_warnings(${ARG_NAME})
  set(env "OMP_WAIT_POLICY=PASSIVE;OPENBLAS_NUM_THREADS=1;CONDENSE_SOURCE_DIR=${PROJECT_SOURCE_DIR};CONDENSE_BINARY_DIR=${PROJECT_BINARY_DIR};${ARG_ENV}")
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  if(ARG_TORCH)
    add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
    set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
                         ENVIRONMENT "${env}" SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]")
  else()
    gtest_discover_tests(${ARG_NAME} DISCOVERY_TIMEOUT 60
      PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "${env}")
  endif()
endfunction()
