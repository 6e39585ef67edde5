# Installation: libraries, headers, a CMake package and pkg-config files.
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/distill)
get_target_property(library_type distill TYPE)
set(distill_is_static FALSE)
if(library_type STREQUAL STATIC_LIBRARY)
  set(distill_is_static TRUE)
endif()

# One export set for each target: only header-only mode and a static library need Highway where they are used.
install(TARGETS distill EXPORT distill_targets
        FILE_SET public_headers FILE_SET adapter_headers FILE_SET definition_headers)
install(TARGETS distill_header_only EXPORT distill_header_only_targets
        FILE_SET public_headers FILE_SET adapter_headers FILE_SET definition_headers)
install(EXPORT distill_targets NAMESPACE distill:: DESTINATION ${package_dir} FILE distill-targets.cmake)
install(EXPORT distill_header_only_targets NAMESPACE distill:: DESTINATION ${package_dir}
        FILE distill-header-only-targets.cmake)

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/distill-config.cmake.in distill-config.cmake
                              INSTALL_DESTINATION ${package_dir})
# Before 1.0 a new minor version may break its callers.
write_basic_package_version_file(distill-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/distill-config.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/distill-config-version.cmake
        DESTINATION ${package_dir})

# Relative to the .pc file, so that the installation may be moved.
file(RELATIVE_PATH up_from_pkgconfig /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" up_from_pkgconfig "${up_from_pkgconfig}")
if(distill_is_static)
  set(highway_requirement "Requires: libhwy >= 1.0.3")
else()
  set(highway_requirement "")
endif()
foreach(package distill distill-header-only)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/${package}.pc.in ${package}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${package}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
