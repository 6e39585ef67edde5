# The target distill_torch, for tests, examples and documentation, where libtorch is installed and its headers compile
# as C++20: those of 1.13 do not with clang 14. Nothing of it is installed or exported.
if(TARGET distill_torch OR CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  return()
endif()
# Debian's TorchConfig wants packages that merely using the library does not.
find_path(TORCH_INCLUDE_DIR torch/csrc/api/include/torch/torch.h)
find_library(TORCH_LIBRARY torch)
find_library(TORCH_CPU_LIBRARY torch_cpu)
find_library(C10_LIBRARY c10)
if(NOT (TORCH_INCLUDE_DIR AND TORCH_LIBRARY AND TORCH_CPU_LIBRARY AND C10_LIBRARY))
  return()
endif()

include(CheckCXXSourceCompiles)
block()
  set(CMAKE_REQUIRED_FLAGS -std=c++20)
  set(CMAKE_REQUIRED_INCLUDES ${TORCH_INCLUDE_DIR})
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
  check_cxx_source_compiles("#include <ATen/ATen.h>" DISTILL_TORCH_COMPILES)
endblock()
if(NOT DISTILL_TORCH_COMPILES)
  return()
endif()

# at::parallel_for uses several threads only where OpenMP is on.
find_package(OpenMP QUIET COMPONENTS CXX)
add_library(distill_torch INTERFACE IMPORTED GLOBAL)
target_include_directories(distill_torch INTERFACE
  ${TORCH_INCLUDE_DIR} ${TORCH_INCLUDE_DIR}/torch/csrc/api/include)
target_link_libraries(distill_torch INTERFACE ${TORCH_LIBRARY} ${TORCH_CPU_LIBRARY} ${C10_LIBRARY})
if(TARGET OpenMP::OpenMP_CXX)
  target_compile_options(distill_torch INTERFACE ${OpenMP_CXX_FLAGS})
  target_link_options(distill_torch INTERFACE ${OpenMP_CXX_FLAGS})
endif()
