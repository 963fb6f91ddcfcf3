#include "server/rpc/rpc_metrics.h"

#include "prometheus/text_serializer.h"
#include "server/rpc/rpc_test_base.h"

namespace condense {
namespace {

using RpcMetricsTest = RpcTest;

TEST_F(RpcMetricsTest, CallsAreTimedByMethodAndCode) {
  const std::string name = Create(NewJob())->name();
  ASSERT_TRUE(Get(name).ok());
  ASSERT_FALSE(Get("projects/p/jobs/j-00000").ok());
  StopServer();  // Every call has ended.
  const std::string text =
      prometheus::TextSerializer().Serialize(metrics_.Collect());
  for (const char* labels : {"{method=\"GetJob\",code=\"OK\"} 1",
                             "{method=\"GetJob\",code=\"NOT_FOUND\"} 1",
                             "{method=\"CreateJob\",code=\"OK\"} 1"}) {
    std::string other(labels);
    // The serializer orders labels as it likes.
    const auto comma = other.find(',');
    const auto brace = other.find('}');
    other = absl::StrCat("{", other.substr(comma + 1, brace - comma - 1), ",",
                         other.substr(1, comma - 1), other.substr(brace));
    const std::string metric = "condense_rpc_duration_seconds_count";
    EXPECT_TRUE(absl::StrContains(text, metric + labels) ||
                absl::StrContains(text, metric + other))
        << labels << "\n"
        << text;
  }
}

}  // namespace
}  // namespace condense
