#ifndef CONDENSE_TESTS_BENCHMARKS_COUNTING_ALLOCATOR_H_
#define CONDENSE_TESTS_BENCHMARKS_COUNTING_ALLOCATOR_H_

#include <cstdint>

namespace condense {

// Puts itself around LibTorch's CPU allocator; call once, before the first
// tensor is made.
void CountTensorBytes();
// Bytes of all tensors now, and the most since ResetPeak.
int64_t TensorBytes();
int64_t PeakTensorBytes();
void ResetPeak();

}  // namespace condense

#endif  // CONDENSE_TESTS_BENCHMARKS_COUNTING_ALLOCATOR_H_
