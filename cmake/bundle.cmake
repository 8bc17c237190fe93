# The target `bundle`: build/bundle/, a folder that runs on another x86-64 Linux machine with the same
# torch wheel (launcher/bundle/make_bundle.cmake, launcher/bundle/README.in). Included at the end of
# CMakeLists.txt: it needs the target cltrain, torch_root, CLTRAIN_CUDA and MPI.

# From the file that the starter looks at, too.
file(STRINGS ${torch_root}/version.py torch_version_line REGEX "^__version__ = ")
string(REGEX MATCH "[0-9]+\\.[0-9]+\\.[0-9a-z]+" torch_version "${torch_version_line}")
if(NOT torch_version)
  message(FATAL_ERROR "no __version__ in ${torch_root}/version.py")
endif()

# Static, since it runs before any library is found.
add_executable(starter EXCLUDE_FROM_ALL launcher/bundle/starter.c launcher/bundle/find_torch.c
               launcher/bundle/library_path.c)
target_compile_definitions(starter PRIVATE CLTRAIN_TORCH_VERSION="${torch_version}"
                           CLTRAIN_BUNDLE_CUDA=$<BOOL:${CLTRAIN_CUDA}>)
target_link_options(starter PRIVATE -static)
set_target_properties(starter PROPERTIES POSITION_INDEPENDENT_CODE OFF)

set(bundle_stamp ${PROJECT_BINARY_DIR}/bundle.stamp)
file(GLOB_RECURSE bundle_files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/configs/*.yaml
     ${PROJECT_SOURCE_DIR}/launcher/slurm/* ${PROJECT_SOURCE_DIR}/launcher/bundle/*)
add_custom_command(
  OUTPUT ${bundle_stamp}
  COMMAND ${CMAKE_COMMAND} -D PROGRAM=$<TARGET_FILE:cltrain> -D STARTER=$<TARGET_FILE:starter>
          -D SOURCE=${PROJECT_SOURCE_DIR} -D OUT=${PROJECT_BINARY_DIR}/bundle
          -D VERSION=${PROJECT_VERSION} -D TORCH_VERSION=${torch_version} -D CUDA=${CLTRAIN_CUDA}
          -D MPIRUN=${MPIEXEC_EXECUTABLE} -P ${PROJECT_SOURCE_DIR}/launcher/bundle/make_bundle.cmake
  COMMAND ${CMAKE_COMMAND} -E touch ${bundle_stamp}
  DEPENDS cltrain starter ${bundle_files}
  VERBATIM)
add_custom_target(bundle DEPENDS ${bundle_stamp})
