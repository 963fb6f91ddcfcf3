#ifndef CONDENSE_WORKERS_ENGINE_DISTILLATION_EMBEDDING_COSINE_H_
#define CONDENSE_WORKERS_ENGINE_DISTILLATION_EMBEDDING_COSINE_H_

#include <torch/torch.h>

namespace condense::distillation {

// Mean over the batch of 1 - cos(student, teacher): what is compared of two
// embeddings is where they point, not how long they are (Boutros et al.,
// "QuantFace", ICPR 2022). student, teacher: [n, ...], one vector per sample; a
// vector of zeros has the cosine 0. No gradient flows to the teacher.
torch::Tensor EmbeddingCosineLoss(const torch::Tensor& student,
                                  const torch::Tensor& teacher);

}  // namespace condense::distillation

#endif  // CONDENSE_WORKERS_ENGINE_DISTILLATION_EMBEDDING_COSINE_H_
