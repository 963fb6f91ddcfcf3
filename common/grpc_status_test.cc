#include "common/grpc_status.h"

#include "common/error.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "gtest/gtest.h"

namespace condense {
namespace {

TEST(GrpcStatusTest, AnErrorComesBackWithItsReasonAndDetail) {
  const absl::Status sent = MakeError(
      absl::StatusCode::kInvalidArgument, "UNKNOWN_KEY", "no such key",
      {.field = "stages[0].prun", .line = 3, .column = 5, .nearest = "prune"});
  const absl::Status received = FromGrpc(ToGrpc(sent));
  EXPECT_EQ(received.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(received.message(), "no such key");
  EXPECT_EQ(ErrorReason(received), "UNKNOWN_KEY");
  EXPECT_EQ(ErrorDetailOf(received).nearest, "prune");
  EXPECT_EQ(ErrorDetailOf(received).line, 3);
}

TEST(GrpcStatusTest, DetailsHoldOneErrorInfoAndTheFieldThatIsWrong) {
  const grpc::Status status =
      ToGrpc(MakeError(absl::StatusCode::kInvalidArgument, "BAD_DIGEST", "bad",
                       {.field = "digest"}));
  google::rpc::Status details;
  ASSERT_TRUE(details.ParseFromString(status.error_details()));
  ASSERT_EQ(details.details_size(), 2);
  EXPECT_TRUE(details.details(0).Is<google::rpc::ErrorInfo>());
  google::rpc::BadRequest bad_request;
  ASSERT_TRUE(details.details(1).UnpackTo(&bad_request));
  EXPECT_EQ(bad_request.field_violations(0).field(), "digest");
}

TEST(GrpcStatusTest, AStatusWithoutReasonGetsItsCodeAsReason) {
  EXPECT_EQ(ErrorReason(FromGrpc(ToGrpc(absl::InternalError("lost")))),
            "INTERNAL");
  EXPECT_EQ(ErrorReason(FromGrpc(grpc::Status(grpc::StatusCode::UNAVAILABLE,
                                              "connection refused"))),
            "UNAVAILABLE");
}

TEST(GrpcStatusTest, OkStaysOk) {
  EXPECT_TRUE(ToGrpc(absl::OkStatus()).ok());
  EXPECT_TRUE(FromGrpc(grpc::Status::OK).ok());
}

}  // namespace
}  // namespace condense
