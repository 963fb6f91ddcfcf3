#include "workers/agent/devices.h"

#include <array>
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/error.h"
#include "common/files.h"

namespace condense::agent {
namespace {

constexpr char kQuery[] =
    "nvidia-smi --query-gpu=index,name,memory.total "
    "--format=csv,noheader,nounits 2>/dev/null";

std::string Output(const char* command) {
  std::string out;
  std::FILE* pipe = popen(command, "re");
  if (pipe == nullptr) return out;
  std::array<char, 4096> buffer;
  size_t got = 0;
  while ((got = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0) {
    out.append(buffer.data(), got);
  }
  return pclose(pipe) == 0 ? out : "";
}

// What stands behind "key" and a colon in the first line that begins with it.
std::string FieldOf(absl::string_view text, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (line.substr(0, key.size()) != key) continue;
    const size_t colon = line.find(':');
    if (colon == absl::string_view::npos) continue;
    return std::string(absl::StripAsciiWhitespace(line.substr(colon + 1)));
  }
  return "";
}

}  // namespace

std::vector<v1::Device> ParseNvidiaSmi(absl::string_view text) {
  std::vector<v1::Device> devices;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<std::string> fields = absl::StrSplit(line, ',');
    int index = 0;
    int64_t mebibytes = 0;
    if (fields.size() != 3 || !absl::SimpleAtoi(fields[0], &index) ||
        !absl::SimpleAtoi(fields[2], &mebibytes)) {
      continue;
    }
    v1::Device& device = devices.emplace_back();
    device.set_kind(v1::DeviceRequirement::CUDA);
    device.set_id(absl::StrCat("cuda:", index));
    device.set_memory_bytes(mebibytes << 20);
    device.set_model(std::string(absl::StripAsciiWhitespace(fields[1])));
  }
  return devices;
}

v1::Device ParseCpu(absl::string_view cpuinfo, absl::string_view meminfo) {
  v1::Device device;
  device.set_kind(v1::DeviceRequirement::CPU);
  device.set_id("cpu");
  const std::string model = FieldOf(cpuinfo, "model name");
  device.set_model(model.empty() ? "CPU" : model);
  int64_t kibibytes = 0;
  const std::string total = FieldOf(meminfo, "MemTotal");
  if (absl::SimpleAtoi(total.substr(0, total.find(' ')), &kibibytes)) {
    device.set_memory_bytes(kibibytes << 10);
  }
  return device;
}

absl::StatusOr<std::vector<v1::Device>> FindDevices(const std::string& device) {
  const v1::Device cpu = ParseCpu(ReadFile("/proc/cpuinfo").value_or(""),
                                  ReadFile("/proc/meminfo").value_or(""));
  if (device == "cpu") return std::vector<v1::Device>{cpu};
  const std::vector<v1::Device> gpus = ParseNvidiaSmi(Output(kQuery));
  if (device == "auto") {
    return gpus.empty() ? std::vector<v1::Device>{cpu} : gpus;
  }
  std::vector<std::string> known = {"cpu", "auto"};
  for (const v1::Device& gpu : gpus) {
    if (gpu.id() == device) return std::vector<v1::Device>{gpu};
    known.push_back(gpu.id());
  }
  return MakeError(
      absl::StatusCode::kNotFound, "NO_DEVICE",
      absl::StrCat("this machine has no device '", device, "'"),
      {.field = "--device", .nearest = NearestName(device, known)});
}

}  // namespace condense::agent
