#include "workers/engine/training/collective.h"

#if defined(CONDENSE_GLOO) || defined(CONDENSE_NCCL)
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif
#ifdef CONDENSE_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#ifdef CONDENSE_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <chrono>
#include <stdexcept>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/error.h"
#include "common/status_macros.h"

namespace condense::training {
namespace {

// Starts every message of an exception of ours about other ranks.
constexpr char kLost[] = "another rank does not answer";

#if defined(CONDENSE_GLOO) || defined(CONDENSE_NCCL)

// Ranks come within this time, or not at all.
constexpr std::chrono::minutes kJoin{5};
// A rank that dies closes its connections; one that works (the leader exports
// while the others wait) may take long.
constexpr std::chrono::hours kAnswer{24};

absl::Status BadRendezvous(const std::string& text) {
  return MakeError(absl::StatusCode::kInvalidArgument, "BAD_RENDEZVOUS",
                   absl::StrCat("'", text, "' is no rendezvous"),
                   {.hint = "file:///PATH or tcp://HOST:PORT"});
}

absl::StatusOr<c10::intrusive_ptr<c10d::Store>> StoreOf(
    const RankOptions& options) {
  absl::string_view place = options.rendezvous;
  c10::intrusive_ptr<c10d::Store> store;
  if (absl::ConsumePrefix(&place, "file://") && absl::StartsWith(place, "/")) {
    store =
        c10::make_intrusive<c10d::FileStore>(std::string(place), options.size);
  } else if (absl::ConsumePrefix(&place, "tcp://")) {
    const std::vector<std::string> parts = absl::StrSplit(place, ':');
    int port = 0;
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[1], &port) || port < 1 ||
        port > 65535) {
      return BadRendezvous(options.rendezvous);
    }
    c10d::TCPStoreOptions tcp;
    tcp.port = static_cast<uint16_t>(port);
    tcp.isServer = options.rank == 0;
    tcp.numWorkers = options.size;
    tcp.timeout = kJoin;
    store = c10::make_intrusive<c10d::TCPStore>(parts[0], tcp);
  } else {
    return BadRendezvous(options.rendezvous);
  }
  store->setTimeout(kJoin);
  return store;
}

// Any of c10d's groups: they share no base class in all versions of LibTorch.
template <typename Group>
std::function<Collective::Wait(torch::Tensor)> SumBy(
    c10::intrusive_ptr<Group> group) {
  return [group](torch::Tensor tensor) -> Collective::Wait {
    std::vector<torch::Tensor> tensors = {std::move(tensor)};
    try {
      auto work = group->allreduce(tensors, c10d::AllreduceOptions());
      return [work, tensors] {
        try {
          work->wait();
        } catch (const std::exception& error) {
          throw std::runtime_error(absl::StrCat(kLost, ": ", error.what()));
        }
      };
    } catch (const std::exception& error) {
      throw std::runtime_error(absl::StrCat(kLost, ": ", error.what()));
    }
  };
}

#endif

#ifdef CONDENSE_GLOO
std::function<Collective::Wait(torch::Tensor)> Gloo(
    const c10::intrusive_ptr<c10d::Store>& store, const RankOptions& options) {
  auto gloo = c10d::ProcessGroupGloo::Options::create();
  gloo->timeout = kAnswer;
  // Ranks that meet in a file are on one machine.
  gloo->devices.push_back(
      absl::StartsWith(options.rendezvous, "file:")
          ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
          : c10d::ProcessGroupGloo::createDefaultDevice());
  return SumBy(c10::make_intrusive<c10d::ProcessGroupGloo>(store, options.rank,
                                                           options.size, gloo));
}
#endif

#ifdef CONDENSE_NCCL
std::function<Collective::Wait(torch::Tensor)> Nccl(
    const c10::intrusive_ptr<c10d::Store>& store, const RankOptions& options) {
  auto nccl = c10d::ProcessGroupNCCL::Options::create();
  nccl->timeout = kAnswer;
  return SumBy(c10::make_intrusive<c10d::ProcessGroupNCCL>(store, options.rank,
                                                           options.size, nccl));
}
#endif

}  // namespace

absl::StatusOr<std::unique_ptr<Collective>> Collective::Join(
    const RankOptions& options) {
  const torch::Device device(options.device);
  std::unique_ptr<Collective> collective(
      new Collective(options.rank, options.size, device));
#if defined(CONDENSE_GLOO) || defined(CONDENSE_NCCL)
  try {
    CONDENSE_ASSIGN_OR_RETURN(const auto store, StoreOf(options));
#ifdef CONDENSE_GLOO
    if (device.is_cpu()) collective->sum_ = Gloo(store, options);
#endif
#ifdef CONDENSE_NCCL
    if (device.is_cuda()) collective->sum_ = Nccl(store, options);
#endif
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return MakeError(absl::StatusCode::kUnavailable, "RANK_LOST",
                     absl::StrCat("the ranks did not find each other: ",
                                  what.substr(0, what.find('\n'))));
  }
#endif
  if (collective->sum_) return collective;
  return MakeError(absl::StatusCode::kUnimplemented, "NO_TRANSPORT",
                   absl::StrCat("this LibTorch was built without ",
                                device.is_cpu() ? "Gloo" : "NCCL",
                                ": several ranks cannot train together"));
}

double Collective::FromLeader(double value) const {
  const torch::Tensor sum = torch::full(
      {1}, leads() ? value : 0.0,
      torch::TensorOptions().dtype(torch::kFloat64).device(device_));
  Sum(sum);
  return sum.item<double>();
}

void Collective::TakeFromLeader(const torch::Tensor& tensor) const {
  const torch::NoGradGuard no_grad;
  const torch::Tensor sum = tensor.contiguous(at::MemoryFormat::Contiguous);
  if (!leads()) sum.zero_();
  Sum(sum);
  if (!sum.is_same(tensor)) tensor.copy_(sum);
}

bool IsRankLost(const std::exception& error) {
  return absl::StrContains(error.what(), kLost);
}

}  // namespace condense::training
