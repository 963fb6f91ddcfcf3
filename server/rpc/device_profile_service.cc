#include "server/rpc/device_profile_service.h"

#include <string>

#include "common/grpc_status.h"
#include "server/core/errors.h"

namespace condense {

grpc::ServerUnaryReactor* DeviceProfileServiceImpl::ListDeviceProfiles(
    grpc::CallbackServerContext* context,
    const v1::ListDeviceProfilesRequest* request,
    v1::ListDeviceProfilesResponse* response) {
  for (const v1::DeviceProfile& profile : profiles_) {
    *response->add_profiles() = profile;
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* DeviceProfileServiceImpl::GetDeviceProfile(
    grpc::CallbackServerContext* context,
    const v1::GetDeviceProfileRequest* request, v1::DeviceProfile* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  std::vector<std::string> ids;
  for (const v1::DeviceProfile& profile : profiles_) {
    ids.push_back(profile.id());
    if (profile.id() != request->id()) continue;
    *response = profile;
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  reactor->Finish(ToGrpc(ProfileNotFound(request->id(), ids)));
  return reactor;
}

}  // namespace condense
