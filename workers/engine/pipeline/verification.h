#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_VERIFICATION_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_VERIFICATION_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workers/engine/data/loader.h"
#include "workers/engine/evaluation/embedded_samples.h"
#include "workers/engine/graph/graph.h"
#include "workers/engine/report/report.h"
#include "workers/engine/training/trainer.h"

namespace condense::pipeline {

struct VerifyOptions {
  std::string device = "cpu";
  int threads = 1;
  // At most this many samples.
  int64_t samples = 256;
  // Of which this many with the tensors inside.
  int64_t tensor_samples = 64;
  // Outputs are embeddings, not classes: the file's are kept.
  bool embeddings = false;
  // Called between batches; an error ends the verification.
  std::function<absl::Status()> interrupted;
};

struct Verification {
  // top1 of classes alone.
  report::Agreement agreement;
  // What the file itself made of those samples, where they come from a loader:
  // its figures as classes, absent without labels; or its embeddings.
  std::optional<training::Measurement> file;
  evaluation::EmbeddedSamples embeddings;
};

// Reads an exported file back and runs it with integer arithmetic beside the
// simulation that it was made from, on the loader's samples, or on random
// inputs where there is none. Shares no code with the simulation past the
// graph. Errors: those of both runtimes; DATA_LOSS with reason FILE_MISMATCH
// when the file does not have the simulation's outputs.
absl::StatusOr<Verification> Verify(const graph::Graph& simulation,
                                    const std::string& file,
                                    data::Loader* loader,
                                    const VerifyOptions& options);

// Samples that a verification of `macs` multiply-accumulates each gets through
// in some seconds.
int64_t AffordableSamples(int64_t macs);

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_VERIFICATION_H_
