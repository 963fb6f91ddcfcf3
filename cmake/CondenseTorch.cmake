# condense_find_torch(): LibTorch for the calling folder alone (imported targets
# are local to a folder, so that nothing else can name it).
macro(condense_find_torch)
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
