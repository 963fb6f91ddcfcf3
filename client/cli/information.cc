#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/cli/commands.h"
#include "client/cli/output.h"
#include "nlohmann/json.hpp"

namespace condense::cli {
namespace {

std::string BitsText(const google::protobuf::RepeatedField<int32_t>& bits) {
  return absl::StrCat(absl::StrJoin(bits, ", "), " bits");
}

template <typename Values, typename Name>
std::string Names(const Values& values, Name name) {
  return absl::AsciiStrToLower(absl::StrJoin(
      values, ", ", [&](std::string* out, int value) { *out += name(value); }));
}

std::string SchemeText(const google::protobuf::RepeatedField<int>& schemes) {
  return Names(schemes, [](int value) {
    return v1::Scheme_Name(static_cast<v1::Scheme>(value));
  });
}

std::string WeightsText(const v1::WeightNumerics& weights) {
  const std::string granularities =
      Names(weights.granularities(), [](int value) {
        return v1::WeightQuantization::Granularity_Name(
            static_cast<v1::WeightQuantization::Granularity>(value));
      });
  return absl::StrCat(BitsText(weights.bits()), "; ",
                      SchemeText(weights.schemes()), "; per ", granularities);
}

std::string FusionsText(const v1::DeviceProfile& profile) {
  return absl::StrJoin(profile.fusions(), ", ",
                       [](std::string* out, const v1::Fusion& fusion) {
                         *out += absl::StrJoin(fusion.ops(), "-");
                       });
}

void PrintProfile(const Context& context, const v1::DeviceProfile& profile) {
  std::vector<std::vector<std::string>> rows = {
      {"id", profile.id()},
      {"title", profile.title()},
      {"runtime", v1::DeviceProfile::Runtime_Name(profile.runtime())},
      {"opset", absl::StrCat(profile.opset())},
      {"weights", WeightsText(profile.weights())},
      {"activations",
       absl::StrCat(
           BitsText(profile.activations().bits()), "; ",
           SchemeText(profile.activations().schemes()), "; ",
           profile.activations().is_unsigned() ? "unsigned" : "signed")},
      {"on integers", absl::StrJoin(profile.quantized_ops(), ", ")},
      {"fused", FusionsText(profile)}};
  if (profile.channel_multiple() > 1) {
    rows.push_back({"channels", absl::StrCat("in multiples of ",
                                             profile.channel_multiple())});
  }
  for (const std::string& note : profile.notes()) {
    rows.push_back({"note", note});
  }
  for (const std::string& source : profile.sources()) {
    rows.push_back({"source", source});
  }
  *context.out << Table(rows);
}

std::string DevicesText(const v1::Worker& worker) {
  return absl::StrJoin(
      worker.devices(), ", ", [](std::string* out, const v1::Device& device) {
        absl::StrAppend(out, device.id());
        if (!device.model().empty()) {
          absl::StrAppend(out, " (", device.model(), ")");
        }
        if (device.memory_bytes() > 0) {
          absl::StrAppend(out, " ", HumanBytes(device.memory_bytes()));
        }
      });
}

}  // namespace

int ProfilesList(const Context& context) {
  client::Client client(context.client);
  auto profiles = client.ListProfiles();
  if (!profiles.ok()) return context.Fail(profiles.status());
  std::vector<std::vector<std::string>> rows = {{"PROFILE", "TITLE"}};
  for (const v1::DeviceProfile& profile : *profiles) {
    if (context.json) *context.out << ToJson(profile) << "\n";
    rows.push_back({profile.id(), profile.title()});
  }
  if (!context.json) *context.out << Table(rows);
  return kDone;
}

int ProfilesShow(const Context& context, const std::string& id) {
  client::Client client(context.client);
  auto profile = client.GetProfile(id);
  if (!profile.ok()) return context.Fail(profile.status());
  if (context.json) {
    *context.out << ToJson(*profile) << "\n";
  } else {
    PrintProfile(context, *profile);
  }
  return kDone;
}

int Workers(const Context& context) {
  client::Client client(context.client);
  auto workers = client.ListWorkers();
  if (!workers.ok()) return context.Fail(workers.status());
  std::vector<std::vector<std::string>> rows = {
      {"WORKER", "STATE", "SLOTS", "DEVICES", "JOBS"}};
  for (const v1::Worker& worker : *workers) {
    if (context.json) *context.out << ToJson(worker) << "\n";
    const std::string jobs = absl::StrJoin(
        worker.jobs(), " ", [](std::string* out, const std::string& job) {
          *out += client::Client::ShortName(job);
        });
    rows.push_back({worker.name(), v1::Worker::State_Name(worker.state()),
                    absl::StrCat(worker.jobs_size(), "/", worker.slots()),
                    DevicesText(worker), jobs});
  }
  if (!context.json) *context.out << Table(rows);
  return kDone;
}

int Health(const Context& context) {
  client::Client client(context.client);
  auto health = client.Health();
  if (!health.ok()) return context.Fail(health.status());
  if (context.json) {
    *context.out << nlohmann::json{{"status", *health}}.dump() << "\n";
  } else {
    *context.out << *health << "\n";
  }
  return *health == "SERVING" ? kDone : kOtherError;
}

}  // namespace condense::cli
