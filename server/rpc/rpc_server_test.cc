#include "server/rpc/rpc_server.h"

#include "condense/v1/device_profile_service.grpc.pb.h"
#include "server/rpc/rpc_test_base.h"

namespace condense {
namespace {

using RpcServerTest = RpcTest;

TEST_F(RpcServerTest, ProfilesAreListedAndMissesNameTheNearest) {
  auto stub = v1::DeviceProfileService::NewStub(channel_);
  grpc::ClientContext list;
  v1::ListDeviceProfilesResponse profiles;
  ASSERT_TRUE(stub->ListDeviceProfiles(&list, v1::ListDeviceProfilesRequest(),
                                       &profiles)
                  .ok());
  EXPECT_EQ(profiles.profiles(0).id(), kProfile);
  grpc::ClientContext get;
  v1::GetDeviceProfileRequest request;
  request.set_id("onnxruntime-cpu-x86-vnn");
  v1::DeviceProfile profile;
  const absl::Status status =
      FromGrpc(stub->GetDeviceProfile(&get, request, &profile));
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ErrorDetailOf(status).nearest, kProfile);
}

TEST_F(RpcServerTest, APortInUseIsAnErrorThatNamesIt) {
  const std::string address = absl::StrCat("127.0.0.1:", server_->port());
  const absl::Status status = RpcServer::Start({.dispatcher = dispatcher_.get(),
                                                .jobs = jobs_.get(),
                                                .blobs = blobs_.get(),
                                                .hub = hub_.get(),
                                                .metrics = &metrics_},
                                               JobRules(), address)
                                  .status();
  EXPECT_EQ(ErrorReason(status), "CANNOT_LISTEN");
  EXPECT_NE(status.message().find(address), absl::string_view::npos);
}

}  // namespace
}  // namespace condense
