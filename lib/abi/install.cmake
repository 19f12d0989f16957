# What is installed, and how others find it: pkg-config (libci) and CMake (find_package(libci), target libci::ci).
include(CMakePackageConfigHelpers)

foreach(library ci ci_static)
  add_library(libci::${library} ALIAS ${library})
  set_property(TARGET ${library} PROPERTY INTERFACE_INCLUDE_DIRECTORIES
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()

install(TARGETS ci ci_static EXPORT libci-targets
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ci DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)

# The helper program, and the guest that it loads into interpreters: the same tree as in the build folder.
set(helper_dir ${CMAKE_INSTALL_LIBEXECDIR}/libci)
if(TARGET ci-supervisor)
  install(TARGETS ci-supervisor RUNTIME DESTINATION ${helper_dir})
endif()
if(TARGET ci_guest)
  install(TARGETS ci_guest LIBRARY DESTINATION ${helper_dir}/guest)
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/lib/sandbox/local/packages DESTINATION ${helper_dir}
        FILES_MATCHING PATTERN *.py)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/lib/guest/python DESTINATION ${helper_dir}/guest FILES_MATCHING PATTERN *.py)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/lib/guest/node DESTINATION ${helper_dir}/guest
        FILES_MATCHING PATTERN *.js PATTERN *.d.ts PATTERN *.sh)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/lib/guest/bash DESTINATION ${helper_dir}/guest
        FILES_MATCHING PATTERN *.py PATTERN *.bash)
install(DIRECTORY ${CI_LIBEXEC}/guest/node/node_modules DESTINATION ${helper_dir}/guest/node OPTIONAL)
install(FILES ${CI_LIBEXEC}/guest/node/typescript.cache DESTINATION ${helper_dir}/guest/node OPTIONAL)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/libci)
install(EXPORT libci-targets NAMESPACE libci:: DESTINATION ${package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/libci-config.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/libci-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/libci-config-version.cmake COMPATIBILITY SameMajorVersion)

# The prefix is where the file lies, so that `cmake --install --prefix` and a tree that is moved are found too.
file(RELATIVE_PATH pc_prefix ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" pc_prefix "\${pcfiledir}/${pc_prefix}")
foreach(dir LIBDIR INCLUDEDIR)
  string(TOLOWER pc_${dir} variable)
  if(IS_ABSOLUTE ${CMAKE_INSTALL_${dir}})
    set(${variable} ${CMAKE_INSTALL_${dir}})
  else()
    set(${variable} "\${prefix}/${CMAKE_INSTALL_${dir}}")
  endif()
endforeach()
configure_file(${CMAKE_CURRENT_LIST_DIR}/libci.pc.in ${CMAKE_CURRENT_BINARY_DIR}/libci.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/libci-config.cmake ${CMAKE_CURRENT_BINARY_DIR}/libci-config-version.cmake
        DESTINATION ${package_dir})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/libci.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
