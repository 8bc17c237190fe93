# Makes the bundle: a folder that runs on another x86-64 Linux machine with the same torch wheel.
# Run by the target `bundle` (cmake/bundle.cmake):
#
#   cmake -D PROGRAM=.. -D STARTER=.. -D SOURCE=.. -D OUT=.. -D VERSION=.. -D TORCH_VERSION=..
#         -D CUDA=ON|OFF -D MPIRUN=.. -P make_bundle.cmake
#
# Collects the program, Open MPI (libraries, launchers, components, texts), and every library that
# any of them asks for, but torch's, CUDA's and glibc's. Fails where a library is not found, where
# Open MPI is not of series 4, or above 64 MiB. The folder is made beside and renamed: OUT is whole.
cmake_minimum_required(VERSION 3.25)

set(largest_bytes 67108864)
set(folder ${OUT}.partial)
file(REMOVE_RECURSE ${folder})
file(MAKE_DIRECTORY ${folder})

# --- Open MPI ---------------------------------------------------------------------------------------
# One node by shared memory, several by TCP; started by mpirun (alone, over ssh, within Slurm) or by
# srun. Left out: other networks (UCX, libfabric, verbs, PSM), MPI-IO, OpenSHMEM, other batch systems.
set(components
    allocator_basic allocator_bucket bml_r2 btl_self btl_tcp btl_vader coll_basic coll_libnbc
    coll_self coll_sm coll_sync coll_tuned errmgr_default_app errmgr_default_hnp
    errmgr_default_orted errmgr_default_tool ess_env ess_hnp ess_pmi ess_singleton ess_slurm
    ess_tool filem_raw grpcomm_direct iof_hnp iof_orted iof_tool odls_default odls_pspawn oob_tcp
    op_avx osc_sm patcher_overwrite plm_isolated plm_rsh plm_slurm pmix_ext3x pmix_isolated
    pmix_pmix3x pml_ob1 pstat_linux ras_slurm rcache_grdma reachable_netlink reachable_weighted
    regx_fwd regx_naive regx_reverse rmaps_mindist rmaps_ppr rmaps_rank_file rmaps_resilient
    rmaps_round_robin rmaps_seq rml_oob routed_binomial routed_direct routed_radix rtc_hwloc
    schizo_ompi schizo_orte schizo_slurm shmem_mmap shmem_posix shmem_sysv state_app state_hnp
    state_novm state_orted state_tool topo_basic)
# Not in every build of Open MPI: with an own PMIx there is pmix_pmix3x, with the system's
# pmix_ext3x; the rest depends on what was there when it was built.
set(not_everywhere op_avx pmix_ext3x pmix_pmix3x reachable_netlink ras_slurm plm_slurm ess_slurm
    schizo_slurm odls_pspawn)

file(REAL_PATH ${MPIRUN} orterun)
cmake_path(GET orterun PARENT_PATH mpi_bin)
execute_process(COMMAND ${mpi_bin}/ompi_info --parsable --all
                OUTPUT_VARIABLE mpi_info RESULT_VARIABLE failed ERROR_VARIABLE mpi_error)
if(failed OR NOT mpi_info MATCHES "ompi:version:full:4\\.")
  message(FATAL_ERROR "the bundle is made of Open MPI 4, and ${mpi_bin}/ompi_info says:\n"
                      "${mpi_info}${mpi_error}\n"
                      "  to do: build with Open MPI 4 (Debian: openmpi-bin libopenmpi-dev)")
endif()
function(mpi_folder name variable)
  string(REGEX MATCH "path:${name}:([^\n]+)" found "${mpi_info}")
  if(NOT found)
    message(FATAL_ERROR "${mpi_bin}/ompi_info names no folder '${name}'")
  endif()
  set(${variable} ${CMAKE_MATCH_1} PARENT_SCOPE)
endfunction()
mpi_folder(pkglibdir mpi_components)
mpi_folder(pkgdatadir mpi_texts)
mpi_folder(sysconfdir mpi_settings)

set(component_files)
set(have_pmix FALSE)
foreach(component ${components})
  set(path ${mpi_components}/mca_${component}.so)
  if(EXISTS ${path})
    list(APPEND component_files ${path})
    if(component MATCHES "^pmix_(ext3x|pmix3x)$")
      set(have_pmix TRUE)
    endif()
  elseif(NOT component IN_LIST not_everywhere)
    message(FATAL_ERROR "this Open MPI has no component ${path}")
  endif()
endforeach()
if(NOT have_pmix)
  message(FATAL_ERROR "this Open MPI has neither pmix_ext3x nor pmix_pmix3x in ${mpi_components}")
endif()

# --- what all of it asks for --------------------------------------------------------------------------
set(of_torch "^lib(torch|c10|gomp|shm|caffe2|cuda|cudart|cudnn|cublas|cublasLt|cufft|cufile|cupti|curand|cusolver|cusparse|cusparseLt|nccl|nvJitLink|nvrtc|nvshmem|nvToolsExt)[._-]")
set(of_glibc "^(ld-linux-x86-64|lib(c|m|dl|rt|util|pthread|resolv|anl|nsl|mvec|BrokenLocale|thread_db))\\.so")
file(GET_RUNTIME_DEPENDENCIES
     EXECUTABLES ${PROGRAM} ${orterun} ${mpi_bin}/orted
     LIBRARIES ${component_files}
     RESOLVED_DEPENDENCIES_VAR libraries
     UNRESOLVED_DEPENDENCIES_VAR missing
     PRE_EXCLUDE_REGEXES ${of_torch} ${of_glibc})
if(missing)
  message(FATAL_ERROR "not found on this machine, so the bundle would not start: ${missing}")
endif()
foreach(name liblapack libblas libopenblas libgfortran)
  if(libraries MATCHES "/${name}[._]")
    message(FATAL_ERROR "the program asks for ${name}: products must come from torch's BLAS "
                        "(see the link line of faiss in CMakeLists.txt)")
  endif()
endforeach()

# --- copies -----------------------------------------------------------------------------------------
function(copy_as file place)  # links are followed: copies of the bundle need not keep them
  cmake_path(GET place PARENT_PATH parent)
  file(MAKE_DIRECTORY ${folder}/${parent})
  file(COPY_FILE ${file} ${folder}/${place})
endfunction()

copy_as(${PROGRAM} libexec/cltrain)
file(RPATH_REMOVE FILE ${folder}/libexec/cltrain)  # folders of the machine that built it
find_program(STRIP strip REQUIRED)
execute_process(COMMAND ${STRIP} ${folder}/libexec/cltrain COMMAND_ERROR_IS_FATAL ANY)
copy_as(${orterun} libexec/orterun)
copy_as(${mpi_bin}/orted libexec/orted)
copy_as(${STARTER} cltrain)
copy_as(${STARTER} mpirun)
copy_as(${STARTER} bin/mpirun)  # where Open MPI looks for its own programs, here and on other nodes
copy_as(${STARTER} bin/orted)
foreach(library ${libraries})
  cmake_path(GET library FILENAME name)
  if(name MATCHES "^lib(stdc\\+\\+|gcc_s)\\.so")
    copy_as(${library} lib/runtime/${name})
  else()
    copy_as(${library} lib/${name})
  endif()
  if(name MATCHES "^libpmix\\.so")
    file(REAL_PATH ${library} pmix)
    cmake_path(GET pmix PARENT_PATH pmix_folder)
  endif()
endforeach()
foreach(component ${component_files})
  cmake_path(GET component FILENAME name)
  copy_as(${component} lib/openmpi/${name})
endforeach()
if(pmix_folder)  # a PMIx of the system: its compression of large messages
  foreach(component pcompress_zlib)
    if(EXISTS ${pmix_folder}/pmix/pmix_mca_${component}.so)
      copy_as(${pmix_folder}/pmix/pmix_mca_${component}.so lib/pmix/pmix_mca_${component}.so)
    endif()
  endforeach()
  cmake_path(GET pmix_folder PARENT_PATH pmix_prefix)
  file(GLOB pmix_texts ${pmix_prefix}/share/pmix/*.txt)
  if(pmix_texts)
    file(COPY ${pmix_texts} DESTINATION ${folder}/share/pmix)
  endif()
endif()
file(GLOB texts ${mpi_texts}/help-*.txt)
file(COPY ${texts} DESTINATION ${folder}/share/openmpi)
foreach(name openmpi-mca-params.conf openmpi-default-hostfile)
  if(EXISTS ${mpi_settings}/${name})
    copy_as(${mpi_settings}/${name} etc/openmpi/${name})
  endif()
endforeach()
file(COPY ${SOURCE}/configs/ DESTINATION ${folder}/share/cltrain/configs
     FILES_MATCHING PATTERN "*.yaml")
file(COPY ${SOURCE}/launcher/slurm DESTINATION ${folder}/share/cltrain)
copy_as(${SOURCE}/LICENSE LICENSE)

# The licences of what is copied, where the system keeps them as Debian does.
find_program(DPKG_QUERY dpkg-query)
if(DPKG_QUERY)
  foreach(file ${libraries} ${orterun} ${component_files})
    file(REAL_PATH ${file} file)
    string(REGEX REPLACE "^/usr/" "/" short ${file})
    execute_process(COMMAND ${DPKG_QUERY} -S ${file} ${short} OUTPUT_VARIABLE owner ERROR_QUIET)
    if(owner MATCHES "^([^:\n]+)[:,]")
      set(package ${CMAKE_MATCH_1})
      if(EXISTS /usr/share/doc/${package}/copyright)
        copy_as(/usr/share/doc/${package}/copyright licences/${package}.txt)
      endif()
    endif()
  endforeach()
endif()

# --- what it is -------------------------------------------------------------------------------------
# The newest glibc that anything in the bundle asks for.
find_program(OBJDUMP objdump REQUIRED)
file(GLOB_RECURSE binaries ${folder}/libexec/* ${folder}/lib/*.so*)
set(glibc 2.0)
foreach(binary ${binaries})
  execute_process(COMMAND ${OBJDUMP} -p ${binary} OUTPUT_VARIABLE facts COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "GLIBC_2\\.[0-9]+" wanted "${facts}")
  foreach(name ${wanted})
    string(REPLACE "GLIBC_" "" version ${name})
    if(version VERSION_GREATER glibc)
      set(glibc ${version})
    endif()
  endforeach()
endforeach()
set(torch_kind "with CUDA (the whole wheel)")
if(NOT CUDA)
  set(torch_kind "with or without CUDA")
endif()
string(REGEX MATCH "ompi:version:full:([^\n]+)" found "${mpi_info}")
set(MPI_VERSION ${CMAKE_MATCH_1})
set(GLIBC ${glibc})
set(TORCH_KIND ${torch_kind})
configure_file(${CMAKE_CURRENT_LIST_DIR}/README.in ${folder}/README @ONLY)
file(WRITE ${folder}/VERSION "cltrain ${VERSION}\ntorch ${TORCH_VERSION} ${torch_kind}\n"
     "Open MPI ${MPI_VERSION}\nglibc ${glibc} or newer\n")

file(GLOB_RECURSE files ${folder}/*)
set(bytes 0)
foreach(file ${files})
  file(SIZE ${file} size)
  math(EXPR bytes "${bytes} + ${size}")
endforeach()
math(EXPR mebibytes "(${bytes} + 1048575) / 1048576")
if(bytes GREATER largest_bytes)
  message(FATAL_ERROR "the bundle takes ${mebibytes} MiB, allowed are 64; see ${folder}")
endif()
file(REMOVE_RECURSE ${OUT})
file(RENAME ${folder} ${OUT})
message(STATUS "bundle of ${mebibytes} MiB in ${OUT}; needs torch ${TORCH_VERSION} ${torch_kind}, "
               "glibc ${glibc} or newer")
