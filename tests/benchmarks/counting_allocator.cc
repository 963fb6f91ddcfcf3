#include "tests/benchmarks/counting_allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/version.h>

#include <atomic>
#include <cstring>

namespace condense {
namespace {

// Room for the size in front of each block, which keeps its alignment.
constexpr size_t kHeader = 64;

std::atomic<int64_t> now{0};
std::atomic<int64_t> peak{0};

void Count(int64_t bytes) {
  const int64_t total = now.fetch_add(bytes) + bytes;
  int64_t before = peak.load();
  while (before < total && !peak.compare_exchange_weak(before, total)) {
  }
}

void Free(void* data) {
  if (data == nullptr) return;
  char* block = static_cast<char*>(data) - kHeader;
  size_t size = 0;
  std::memcpy(&size, block, sizeof(size));
  Count(-static_cast<int64_t>(size));
  c10::free_cpu(block);
}

at::DataPtr Allocate(size_t size) {
  char* block = static_cast<char*>(c10::alloc_cpu(size + kHeader));
  std::memcpy(block, &size, sizeof(size));
  Count(static_cast<int64_t>(size));
  char* data = block + kHeader;
  return {data, data, &Free, at::Device(at::kCPU)};
}

class CountingAllocator : public at::Allocator {
 public:
#if TORCH_VERSION_MAJOR >= 2
  at::DataPtr allocate(size_t size) override { return Allocate(size); }
  void copy_data(void* to, const void* from, size_t size) const override {
    default_copy_data(to, from, size);
  }
#else
  at::DataPtr allocate(size_t size) const override { return Allocate(size); }
#endif
  at::DeleterFnPtr raw_deleter() const override { return &Free; }
};

}  // namespace

void CountTensorBytes() {
  static auto& allocator = *new CountingAllocator();
  c10::SetCPUAllocator(&allocator, /*priority=*/100);
}

int64_t TensorBytes() { return now.load(); }
int64_t PeakTensorBytes() { return peak.load(); }
void ResetPeak() { peak.store(now.load()); }

}  // namespace condense
