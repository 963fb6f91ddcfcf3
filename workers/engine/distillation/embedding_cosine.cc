#include "workers/engine/distillation/embedding_cosine.h"

namespace condense::distillation {

torch::Tensor EmbeddingCosineLoss(const torch::Tensor& student,
                                  const torch::Tensor& teacher) {
  return 1 - at::cosine_similarity(student.flatten(1),
                                   teacher.detach().flatten(1), 1, 1e-12)
                 .mean();
}

}  // namespace condense::distillation
