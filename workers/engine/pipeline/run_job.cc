#include "workers/engine/pipeline/run_job.h"

#include <algorithm>
#include <thread>

#include "absl/time/clock.h"
#include "common/error.h"
#include "common/status_macros.h"
#include "workers/engine/pipeline/compress_tasks.h"
#include "workers/engine/pipeline/compute.h"
#include "workers/engine/pipeline/contain.h"
#include "workers/engine/pipeline/finish_task.h"
#include "workers/engine/pipeline/preflight.h"
#include "workers/engine/pipeline/run_context.h"
#include "workers/engine/pipeline/synthesis_task.h"
#include "workers/engine/pipeline/tasks.h"
#include "workers/engine/pipeline/train_task.h"
#include "workers/engine/runtime/executor.h"

namespace condense::pipeline {
namespace {

// Runs the tasks of one job in order.
class Runner {
 public:
  explicit Runner(RunContext* context)
      : context_(*context),
        tasks_(PlanTasks(context->job().recipe(),
                         static_cast<int>(context->job().profiles().size()))) {}

  absl::Status Run() {
    CONDENSE_ASSIGN_OR_RETURN(const bool resumed, context_.Resume());
    RunState& state = context_.state();
    CONDENSE_RETURN_IF_ERROR(AgreeOnStart());
    if (resumed) {
      if (PastSynthesis()) {
        TakeSynthetic(context_.job(), state.synthetic.at("images"));
      }
      CONDENSE_RETURN_IF_ERROR(FinishAgain());
    } else {
      CONDENSE_ASSIGN_OR_RETURN(state.graph,
                                Normalized(context_.job().model()));
      CONDENSE_RETURN_IF_ERROR(ChooseCompute(&context_));
      CONDENSE_RETURN_IF_ERROR(context_.MeasureBaseline());
    }
    while (state.task < tasks_.size()) {
      const Task& task = tasks_[state.task];
      if (!state.training.has_value()) EnterTail(task);
      const absl::Status status = RunTask(task);
      if (absl::IsCancelled(status) && context_.StopsToGoOn() &&
          !state.training.has_value() && !trains(task)) {
        CONDENSE_RETURN_IF_ERROR(context_.SaveCheckpoint());
        CONDENSE_RETURN_IF_ERROR(context_.FlushCheckpoint());
      }
      CONDENSE_RETURN_IF_ERROR(status);
      CONDENSE_RETURN_IF_ERROR(CloseTask(task));
    }
    return absl::OkStatus();
  }

  bool all_passed() const { return all_passed_; }

 private:
  static bool trains(const Task& task) {
    return task.kind == Task::Kind::kTrain || task.kind == Task::Kind::kQat;
  }

  // The images of an attempt before are whole.
  bool PastSynthesis() const {
    const auto end = tasks_.begin() + context_.state().task;
    return std::any_of(tasks_.begin(), end, [](const Task& task) {
      return task.kind == Task::Kind::kSynthesize;
    });
  }

  // All ranks begin at the same place, before the first writes a checkpoint.
  absl::Status AgreeOnStart() {
    const training::Collective* collective = context_.collective();
    if (collective == nullptr) return absl::OkStatus();
    const RunState& state = context_.state();
    const double here = static_cast<double>(state.steps) * 1000 +
                        static_cast<double>(state.task);
    try {
      if (collective->FromLeader(here) == here) return absl::OkStatus();
    } catch (const std::exception& error) {
      return training::RuntimeError(error);
    }
    return MakeError(absl::StatusCode::kUnavailable, "RANK_LOST",
                     "this rank would go on from another checkpoint");
  }

  // Artifacts of an attempt before are made again from their simulations: this
  // may be another machine. The same simulation gives the same file.
  absl::Status FinishAgain() {
    for (const v1::DeviceProfile& profile : context_.job().profiles()) {
      const auto it = context_.state().finished.find(profile.id());
      if (it == context_.state().finished.end()) continue;
      CONDENSE_RETURN_IF_ERROR(Finish(profile, it->second));
    }
    return absl::OkStatus();
  }

  // The first task of a profile's tail starts from what all share.
  void EnterTail(const Task& task) {
    RunState& state = context_.state();
    const int before = state.task == 0 ? -1 : tasks_[state.task - 1].profile;
    if (task.profile < 0 || task.profile == before) return;
    if (task.profile == 0) {
      state.shared = state.graph;
      state.shared_figures = state.current;
    } else {
      state.graph = state.shared;
      state.current = state.shared_figures;
    }
  }

  absl::Status RunTask(const Task& task) {
    switch (task.kind) {
      case Task::Kind::kPrune:
        return RunPruning(&context_, task);
      case Task::Kind::kTrain:
      case Task::Kind::kQat:
        return RunTraining(&context_, task);
      case Task::Kind::kSynthesize:
        return RunSynthesis(&context_, task);
      case Task::Kind::kCalibrate:
        return RunCalibration(&context_, task);
      case Task::Kind::kFinish: {
        const v1::DeviceProfile& profile =
            context_.job().profiles()[task.profile];
        CONDENSE_RETURN_IF_ERROR(Finish(profile, context_.state().graph));
        context_.state().finished[profile.id()] = context_.state().graph;
        return absl::OkStatus();
      }
    }
    return absl::OkStatus();
  }

  absl::Status Finish(const v1::DeviceProfile& profile,
                      const graph::Graph& simulation) {
    if (!context_.leads()) return absl::OkStatus();
    CONDENSE_ASSIGN_OR_RETURN(const v1::Artifact::Verdict verdict,
                              FinishProfile(&context_, profile, simulation));
    all_passed_ = all_passed_ && verdict == v1::Artifact::PASSED;
    return absl::OkStatus();
  }

  // Measures at the end of a stage, moves on and keeps it.
  absl::Status CloseTask(const Task& task) {
    RunState& state = context_.state();
    CONDENSE_ASSIGN_OR_RETURN(state.graph, Normalized(state.graph));
    const size_t next = state.task + 1;
    const bool stage_ends = next == tasks_.size() ||
                            tasks_[next].stage != task.stage ||
                            tasks_[next].profile != task.profile;
    const bool changed = task.kind != Task::Kind::kFinish &&
                         task.kind != Task::Kind::kSynthesize;
    if (stage_ends && changed) {
      report::Stage& row = context_.Row(task);
      CONDENSE_RETURN_IF_ERROR(context_.MeasureCurrent());
      if (state.current) row.metric_after = state.current->main_value();
    }
    state.task = next;
    if (context_.all_planned_steps() == 0) {
      context_.TellProgress(static_cast<double>(next) /
                            static_cast<double>(tasks_.size()));
    }
    if (next == tasks_.size()) {
      context_.TellProgress(1);
      return absl::OkStatus();
    }
    return context_.SaveCheckpoint();
  }

  RunContext& context_;
  const std::vector<Task> tasks_;
  bool all_passed_ = true;
};

// A fault of the machine, not of the job.
bool IsRetryable(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsUnavailable(status);
}

// Intra-op threads of this rank: ranks share the machine's cores.
int ThreadsOf(const Job& job) {
  const int ranks = job.ranks().size;
  if (job.file().threads() > 0 || ranks == 1) return job.file().threads();
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, cores / ranks);
}

// Starts the other ranks, if nobody else does, and meets them.
absl::Status JoinRanks(RunContext* context,
                       std::unique_ptr<ChildRanks>* children) {
  const Job& job = context->job();
  const RankPlan& plan = job.ranks();
  if (plan.size == 1) return absl::OkStatus();
  training::RankOptions options = {plan.rank, plan.size, plan.rendezvous,
                                   job.device()};
  if (options.rendezvous.empty()) {
    CONDENSE_ASSIGN_OR_RETURN(*children,
                              ChildRanks::Start(job.dir(), plan.size));
    options.rendezvous = (*children)->rendezvous();
  }
  CONDENSE_ASSIGN_OR_RETURN(auto collective,
                            training::Collective::Join(options));
  context->SetCollective(std::move(collective));
  return absl::OkStatus();
}

absl::Status RunTasks(const std::string& job_dir, const RankPlan& ranks,
                      Control* control, Narrator* narrator, JobResult* result) {
  narrator->Phase(v1::Job::PREFLIGHT);
  CONDENSE_ASSIGN_OR_RETURN(std::unique_ptr<Job> job, Job::Load(job_dir));
  CONDENSE_ASSIGN_OR_RETURN(const RankPlan plan,
                            ResolveRanks(ranks, job->file().device()));
  CONDENSE_RETURN_IF_ERROR(job->Open(plan));
  runtime::SetThreads(ThreadsOf(*job));
  std::unique_ptr<ChildRanks> children;
  RunContext context(job.get(), control, narrator);
  CONDENSE_RETURN_IF_ERROR(Preflight(&context));
  CONDENSE_RETURN_IF_ERROR(JoinRanks(&context, &children));
  Runner runner(&context);
  CONDENSE_RETURN_IF_ERROR(runner.Run());
  result->all_passed = runner.all_passed();
  CONDENSE_RETURN_IF_ERROR(context.FlushCheckpoint());
  context.RemoveCheckpoints();
  return absl::OkStatus();
}

}  // namespace

int JobResult::ExitCode() const {
  switch (outcome) {
    case v1::Done::SUCCEEDED:
      return all_passed ? 0 : 3;
    case v1::Done::CANCELLED:
    case v1::Done::STOPPED:
      return 5;
    default:
      return bad_input ? 2 : 4;
  }
}

JobResult RunJob(const std::string& job_dir, Control* control, EventSink* sink,
                 const RankPlan& ranks) {
  Narrator narrator(sink);
  JobResult result;
  // Until the job is read its words alone can be wrong.
  result.status = Job::Load(job_dir).status();
  result.bad_input = !result.status.ok();
  if (result.status.ok()) {
    result.status = WithinMemory(
        [&] { return RunTasks(job_dir, ranks, control, &narrator, &result); });
  }
  v1::EngineEvent event;
  v1::Done& done = *event.mutable_done();
  if (result.status.ok()) {
    done.set_outcome(v1::Done::SUCCEEDED);
  } else if (absl::IsCancelled(result.status)) {
    done.set_outcome(control->request() == Control::Request::kCheckpointAndStop
                         ? v1::Done::STOPPED
                         : v1::Done::CANCELLED);
    result.status = absl::OkStatus();
  } else {
    done.set_outcome(v1::Done::FAILED);
    *done.mutable_error() = ErrorToProto(result.status, narrator.phase());
    done.set_retryable(IsRetryable(result.status));
  }
  result.outcome = done.outcome();
  sink->Send(event);
  return result;
}

}  // namespace condense::pipeline
