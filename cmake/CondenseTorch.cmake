# condense_find_torch(): LibTorch for the calling folder alone (imported targets
# are local to a folder, so that nothing else can name it).
macro(condense_find_torch)
  find_package(Torch REQUIRED)
  # LibTorch's own packages carry headers of an old Protobuf; ours must be found
  # first, so theirs come after the system's.
  if(EXISTS "${TORCH_INSTALL_PREFIX}/include/google/protobuf")
    foreach(target torch torch_library torch_cpu torch_cpu_library torch_cuda torch_cuda_library c10 c10_cuda)
      if(TARGET ${target})
        get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
        if(folders)
          set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "")
          foreach(folder ${folders})
            target_compile_options(${target} INTERFACE "SHELL:-idirafter ${folder}")
          endforeach()
        endif()
      endif()
    endforeach()
  endif()
endmacro()
