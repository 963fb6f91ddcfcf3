#ifndef CONDENSE_TESTS_TESTING_NETWORKS_H_
#define CONDENSE_TESTS_TESTING_NETWORKS_H_

#include <cstdint>

#include "workers/engine/graph/graph.h"

namespace condense::testing {

// Well-known networks with random weights (He et al., arXiv:1502.01852, from a
// fixed seed), as torchvision exports them: input [N, 3, size, size], output
// [N, classes], shapes inferred.

// He et al., arXiv:1512.03385, for images of 32 x 32.
graph::Graph ResNet20(int64_t classes = 10);
graph::Graph ResNet18(int64_t classes = 10, int64_t size = 64);
// Sandler et al., arXiv:1801.04381. `hard_swish` puts HardSwish in the place of
// ReLU6, which is Clip between 0 and 6; `blocks` stops after that many of its
// 17 blocks.
graph::Graph MobileNetV2(int64_t classes = 10, int64_t size = 64,
                         bool hard_swish = false, int blocks = 17);

}  // namespace condense::testing

#endif  // CONDENSE_TESTS_TESTING_NETWORKS_H_
