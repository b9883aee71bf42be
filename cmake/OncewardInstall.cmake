# `cmake --install`: the libraries, the headers, and a package whose components are the libraries.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/onceward)

get_property(libraries GLOBAL PROPERTY ONCEWARD_LIBRARIES)
set(ONCEWARD_COMPONENTS "")
set(ONCEWARD_ALL_STORAGES core)
if(ONCEWARD_SQLITE)
  list(APPEND ONCEWARD_ALL_STORAGES sqlite)
endif()
if(ONCEWARD_REDIS)
  list(APPEND ONCEWARD_ALL_STORAGES redis)
endif()
if(ONCEWARD_MARIADB)
  list(APPEND ONCEWARD_ALL_STORAGES mariadb)
endif()
foreach(library ${libraries})
  # One export each, so that a component brings in only the targets, and the packages, of its own.
  get_target_property(component ${library} EXPORT_NAME)
  list(APPEND ONCEWARD_COMPONENTS ${component})
  install(TARGETS ${library} EXPORT onceward-${component} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT onceward-${component} NAMESPACE onceward:: DESTINATION ${package_dir})
endforeach()
set(headers_left_out "")
if(NOT ONCEWARD_SQLITE)
  list(APPEND headers_left_out PATTERN sqlite.hpp EXCLUDE)
endif()
if(NOT ONCEWARD_REDIS)
  list(APPEND headers_left_out PATTERN redis.hpp EXCLUDE)
endif()
if(NOT ONCEWARD_MARIADB)
  list(APPEND headers_left_out PATTERN mariadb.hpp EXCLUDE)
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/onceward DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.hpp" ${headers_left_out})

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/onceward-config.cmake.in
  ${PROJECT_BINARY_DIR}/onceward-config.cmake INSTALL_DESTINATION ${package_dir}
  NO_SET_AND_CHECK_MACRO)
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/onceward-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/onceward-config.cmake ${PROJECT_BINARY_DIR}/onceward-config-version.cmake
  DESTINATION ${package_dir})
if(EXISTS ${PROJECT_SOURCE_DIR}/LICENSE)
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
endif()
