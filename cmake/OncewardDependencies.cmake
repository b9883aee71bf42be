# Every library we use, found once. Boost is used for its headers only; fmt, pugixml, date, SQLiteCpp
# stay behind our own headers and reach a user of the static libraries as link dependencies alone.
find_package(Threads REQUIRED)
find_package(Boost 1.75 REQUIRED)
find_package(fmt REQUIRED)
find_package(pugixml REQUIRED)
find_package(date REQUIRED)

# As system headers, and private to the targets that name it: nothing of Boost's path is exported.
add_library(onceward_boost INTERFACE)
target_include_directories(onceward_boost SYSTEM INTERFACE ${Boost_INCLUDE_DIRS})

if(ONCEWARD_SQLITE)
  find_package(SQLite3 REQUIRED)
  find_package(SQLiteCpp REQUIRED)
endif()
if(ONCEWARD_REDIS)
  # By pkg-config: the CMake file of Debian 12's hiredis names folders that are not there.
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(hiredis REQUIRED IMPORTED_TARGET hiredis)
endif()
if(ONCEWARD_MARIADB)
  find_package(PkgConfig REQUIRED)
  pkg_check_modules(libmariadb REQUIRED IMPORTED_TARGET libmariadb)
endif()
if(ONCEWARD_BUILD_EXAMPLES)
  # Of 05_http_service and its test alone; without it they are left out.
  find_package(PkgConfig)
  if(PkgConfig_FOUND)
    pkg_check_modules(cpphttplib IMPORTED_TARGET cpp-httplib)
  endif()
endif()
