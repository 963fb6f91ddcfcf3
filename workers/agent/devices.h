#ifndef CONDENSE_WORKERS_AGENT_DEVICES_H_
#define CONDENSE_WORKERS_AGENT_DEVICES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "condense/v1/worker_service.pb.h"

namespace condense::agent {

// What `--device` names: "cpu"; "cuda:N"; "auto": every GPU that nvidia-smi
// finds, or else the CPU. NOT_FOUND with reason NO_DEVICE.
absl::StatusOr<std::vector<v1::Device>> FindDevices(const std::string& device);

// The lines of `nvidia-smi --query-gpu=index,name,memory.total
// --format=csv,noheader,nounits` (memory in MiB).
std::vector<v1::Device> ParseNvidiaSmi(absl::string_view text);

// The CPU with its model name and all of the machine's memory, from the texts
// of /proc/cpuinfo and /proc/meminfo.
v1::Device ParseCpu(absl::string_view cpuinfo, absl::string_view meminfo);

}  // namespace condense::agent

#endif  // CONDENSE_WORKERS_AGENT_DEVICES_H_
