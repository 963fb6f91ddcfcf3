# condense_find_torch(): LibTorch for the calling folder alone (imported targets
# are local to a folder, so that nothing else can name it). A LibTorch with CUDA
# brings the language CUDA along.
macro(condense_find_torch)
  condense_find_nvcc()
  # Newer standards are unknown to CMake 3.25 for nvcc; one CUDA runtime is
  # shared with LibTorch.
  set(CMAKE_CUDA_STANDARD 17)
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)
  # LibTorch's own default names GPUs that newer compilers refuse. PTX is for
  # later ones.
  if(NOT DEFINED TORCH_CUDA_ARCH_LIST AND NOT DEFINED ENV{TORCH_CUDA_ARCH_LIST})
    set(TORCH_CUDA_ARCH_LIST 7.5 8.0 8.6 8.9 9.0+PTX)
  endif()
  find_package(Torch REQUIRED)
  # LibTorch's own packages carry headers of an old Protobuf beside their own,
  # which would hide the system's: links to all the others take their place.
  if(EXISTS "${TORCH_INSTALL_PREFIX}/include/google/protobuf")
    set(links ${PROJECT_BINARY_DIR}/torch_include)
    file(MAKE_DIRECTORY ${links})
    file(GLOB headers ${TORCH_INSTALL_PREFIX}/include/*)
    foreach(header ${headers})
      get_filename_component(name ${header} NAME)
      if(NOT name STREQUAL "google")
        file(CREATE_LINK ${header} ${links}/${name} SYMBOLIC)
      endif()
    endforeach()
    foreach(target torch torch_library torch_cpu torch_cpu_library torch_cuda torch_cuda_library c10 c10_cuda)
      if(TARGET ${target})
        set_target_properties(${target} PROPERTIES
          INTERFACE_INCLUDE_DIRECTORIES "${links};${links}/torch/csrc/api/include")
      endif()
    endforeach()
  endif()
endmacro()

# A LibTorch with CUDA needs nvcc. From either of CMAKE_CUDA_COMPILER and
# CUDA_TOOLKIT_ROOT_DIR comes the other, which LibTorch's package asks for.
function(condense_find_nvcc)
  # Both <prefix> and <prefix>/share/cmake may be what the prefix path says.
  find_library(CONDENSE_TORCH_CUDA torch_cuda
    HINTS ${CMAKE_PREFIX_PATH} ${Torch_DIR}/.. PATH_SUFFIXES lib ../../lib)
  if(NOT CONDENSE_TORCH_CUDA)
    return()
  endif()
  if(CUDA_TOOLKIT_ROOT_DIR AND NOT CMAKE_CUDA_COMPILER)
    find_program(CMAKE_CUDA_COMPILER nvcc PATHS ${CUDA_TOOLKIT_ROOT_DIR}/bin NO_DEFAULT_PATH)
  endif()
  include(CheckLanguage)
  check_language(CUDA)
  if(NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "${CONDENSE_TORCH_CUDA} needs the CUDA toolkit that it was built with, and there is no nvcc. "
      "Say where it is with -DCMAKE_CUDA_COMPILER=.../bin/nvcc, or take a LibTorch without CUDA. "
      "(scripts/dev-tools --cuda installs both from Python packages.)")
  endif()
  if(NOT CUDA_TOOLKIT_ROOT_DIR)
    get_filename_component(nvcc ${CMAKE_CUDA_COMPILER} REALPATH)
    get_filename_component(root ${nvcc}/../.. ABSOLUTE)
    if(EXISTS ${root}/include/cuda_runtime.h)
      set(CUDA_TOOLKIT_ROOT_DIR ${root} CACHE PATH "The CUDA toolkit")
    endif()
  endif()
endfunction()
