#ifndef CONDENSE_SERVER_RPC_DEVICE_PROFILE_SERVICE_H_
#define CONDENSE_SERVER_RPC_DEVICE_PROFILE_SERVICE_H_

#include <utility>
#include <vector>

#include "condense/v1/device_profile_service.grpc.pb.h"

namespace condense {

// Shows the built-in device profiles.
class DeviceProfileServiceImpl final
    : public v1::DeviceProfileService::CallbackService {
 public:
  // By id.
  explicit DeviceProfileServiceImpl(std::vector<v1::DeviceProfile> profiles)
      : profiles_(std::move(profiles)) {}

  grpc::ServerUnaryReactor* ListDeviceProfiles(
      grpc::CallbackServerContext* context,
      const v1::ListDeviceProfilesRequest* request,
      v1::ListDeviceProfilesResponse* response) override;
  grpc::ServerUnaryReactor* GetDeviceProfile(
      grpc::CallbackServerContext* context,
      const v1::GetDeviceProfileRequest* request,
      v1::DeviceProfile* response) override;

 private:
  const std::vector<v1::DeviceProfile> profiles_;
};

}  // namespace condense

#endif  // CONDENSE_SERVER_RPC_DEVICE_PROFILE_SERVICE_H_
