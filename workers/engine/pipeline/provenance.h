#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_PROVENANCE_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_PROVENANCE_H_

#include <string>
#include <vector>

#include "workers/engine/pipeline/job.h"
#include "workers/engine/quantization/lower_qdq.h"

namespace condense::pipeline {

// What the artifact was made from and by: an in-toto statement
// (in-toto.io/Statement/v1) with an SLSA provenance predicate
// (slsa.dev/provenance/v1). `model_digest` is that of the artifact's model.
std::string ProvenanceJson(const Job& job, const v1::DeviceProfile& profile,
                           const std::string& model_digest);

// The text of tensors.json.
std::string TensorsJson(const std::vector<quantization::TensorRow>& rows);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_PROVENANCE_H_
