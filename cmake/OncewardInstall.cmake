# Headers, static libraries, and a package that finds only what the asked components need.
include(CMakePackageConfigHelpers)

get_property(libraries GLOBAL PROPERTY ONCEWARD_LIBRARIES)
install(TARGETS ${libraries} EXPORT onceward-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/onceward DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/onceward)
install(EXPORT onceward-targets NAMESPACE onceward:: DESTINATION ${package_dir})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/onceward-config.cmake.in
  ${PROJECT_BINARY_DIR}/onceward-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/onceward-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/onceward-config.cmake ${PROJECT_BINARY_DIR}/onceward-config-version.cmake
  DESTINATION ${package_dir})
