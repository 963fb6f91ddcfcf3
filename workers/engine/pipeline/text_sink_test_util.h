#ifndef CONDENSE_WORKERS_ENGINE_PIPELINE_TEXT_SINK_TEST_UTIL_H_
#define CONDENSE_WORKERS_ENGINE_PIPELINE_TEXT_SINK_TEST_UTIL_H_

#include <functional>
#include <string>

#include "absl/synchronization/mutex.h"
#include "workers/engine/pipeline/event_sink.h"

namespace condense::pipeline {

// Keeps every event as text; may do something at each. Thread-safe.
class TextSink : public EventSink {
 public:
  void Send(const v1::EngineEvent& event) override {
    // Checkpoints are announced by the thread that writes them.
    absl::MutexLock lock(&mu_);
    text += event.ShortDebugString() + "\n";
    if (at_event) at_event(event);
  }
  std::string text;
  std::function<void(const v1::EngineEvent&)> at_event;

 private:
  absl::Mutex mu_;
};

}  // namespace condense::pipeline

#endif  // CONDENSE_WORKERS_ENGINE_PIPELINE_TEXT_SINK_TEST_UTIL_H_
