#include "server/rpc/compression_service.h"

#include <set>

#include "server/rpc/rpc_test_base.h"

namespace condense {
namespace {

using CompressionServiceTest = RpcTest;

TEST_F(CompressionServiceTest, AJobIsStoredQueuedAndShown) {
  v1::CreateJobRequest request = NewJob();
  request.set_request_id("6f9619ff-8b86-4011-b42d-00c04fc964ff");
  const v1::Job job = Create(request).value();
  EXPECT_EQ(job.state(), v1::Job::QUEUED);
  EXPECT_TRUE(absl::StartsWith(job.name(), "projects/p/jobs/j-")) << job.name();
  EXPECT_EQ(job.uid().size(), 36u);
  EXPECT_EQ(job.spec().model().size_bytes(), 5);
  EXPECT_EQ(job.resolved_recipe(), "resolved");
  EXPECT_EQ(job.pending_reason(), v1::Job::NO_MATCHING_WORKER);
  EXPECT_EQ(job.queue_position(), 1);
  EXPECT_EQ(job.request_id(), request.request_id());
  EXPECT_EQ(Get(job.name())->uid(), job.uid());
  EXPECT_EQ(Get(job.name())->queue_position(), 1);
}

TEST_F(CompressionServiceTest, ARepeatedRequestIdGivesTheSameJob) {
  v1::CreateJobRequest request = NewJob();
  request.set_request_id("r-1");
  const std::string name = Create(request)->name();
  EXPECT_EQ(Create(request)->name(), name);
  ASSERT_TRUE(Cancel(name).ok());  // Finished jobs are remembered too.
  EXPECT_EQ(Create(request)->name(), name);
  StopServer();
  StartServer();
  EXPECT_EQ(Create(request)->name(), name);
  request.mutable_job()->mutable_spec()->set_priority(3);
  EXPECT_EQ(ErrorReason(Create(request).status()), "REQUEST_ID_REUSED");
  request.set_request_id("r-2");
  EXPECT_NE(Create(request)->name(), name);
}

TEST_F(CompressionServiceTest, ValidateOnlyStoresNothing) {
  v1::CreateJobRequest request = NewJob();
  request.set_validate_only(true);
  EXPECT_EQ(Create(request)->resolved_recipe(), "resolved");
  EXPECT_TRUE(jobs_->List("p", INT64_MAX, 10)->empty());
  request.mutable_job()->mutable_spec()->set_recipe("bad");
  EXPECT_EQ(ErrorDetailOf(Create(request).status()).line, 2);
}

TEST_F(CompressionServiceTest, BadRequestsNameWhatIsWrong) {
  struct Case {
    const char* reason;
    const char* field;
    std::function<void(v1::CreateJobRequest&)> spoil;
  };
  auto spec = [](v1::CreateJobRequest& r) {
    return r.mutable_job()->mutable_spec();
  };
  const std::vector<Case> cases = {
      {"BAD_NAME", "parent", [&](auto& r) { r.set_parent("p"); }},
      {"FIELD_MISSING", "job.spec.recipe",
       [&](auto& r) { spec(r)->clear_recipe(); }},
      {"UNKNOWN_KEY", "prun", [&](auto& r) { spec(r)->set_recipe("bad"); }},
      {"FIELD_MISSING", "job.spec.model.digest",
       [&](auto& r) { spec(r)->clear_model(); }},
      {"BAD_DIGEST", "job.spec.model.digest",
       [&](auto& r) { spec(r)->mutable_model()->set_digest("sha256:x"); }},
      {"BLOB_NOT_STORED", "job.spec.model",
       [&](auto& r) {
         spec(r)->mutable_model()->set_digest(DigestOf("not uploaded"));
       }},
      {"BLOB_NOT_STORED", "job.spec.data[0].blob",
       [&](auto& r) {
         auto* data = spec(r)->add_data();
         data->set_name("train");
         data->mutable_blob()->set_digest(DigestOf("not uploaded"));
       }},
      {"FIELD_MISSING", "job.spec.profiles",
       [&](auto& r) { spec(r)->clear_profiles(); }},
      {"UNKNOWN_PROFILE", "job.spec.profiles[1]",
       [&](auto& r) { spec(r)->add_profiles("onnxruntime-cpu-x86-vni"); }},
      {"OUT_OF_RANGE", "job.spec.priority",
       [&](auto& r) { spec(r)->set_priority(1001); }},
      {"BAD_GATE", "job.spec.gates[max_size_bytes]",
       [&](auto& r) {
         (*spec(r)->mutable_gates())["max_size_bytes"] = "small";
       }},
  };
  for (const Case& c : cases) {
    v1::CreateJobRequest request = NewJob();
    c.spoil(request);
    const absl::Status status = Create(request).status();
    EXPECT_EQ(ErrorReason(status), c.reason) << status;
    EXPECT_EQ(ErrorDetailOf(status).field, c.field) << status;
  }
  v1::CreateJobRequest typo = NewJob();
  typo.mutable_job()->mutable_spec()->set_profiles(0, "onnxruntime-cpu-vnni");
  EXPECT_EQ(ErrorDetailOf(Create(typo).status()).nearest, kProfile);
}

TEST_F(CompressionServiceTest, UnknownJobsAreNotFound) {
  const std::string name = "projects/p/jobs/j-00000";
  EXPECT_EQ(ErrorReason(Get(name).status()), "JOB_NOT_FOUND");
  EXPECT_EQ(ErrorReason(Cancel(name).status()), "JOB_NOT_FOUND");
  EXPECT_EQ(ErrorReason(Get("j-00000").status()), "BAD_NAME");
  grpc::ClientContext context;
  v1::ListArtifactsRequest request;
  request.set_parent(name);
  v1::ListArtifactsResponse response;
  EXPECT_EQ(ErrorReason(FromGrpc(
                compression_->ListArtifacts(&context, request, &response))),
            "JOB_NOT_FOUND");
}

TEST_F(CompressionServiceTest, PagesHoldEveryJobOnceNewestFirst) {
  std::vector<std::string> created;
  for (int i = 0; i < 5; ++i) created.push_back(Create(NewJob())->name());
  std::vector<std::string> listed;
  v1::ListJobsRequest request;
  request.set_parent(kParent);
  request.set_page_size(2);
  int pages = 0;
  do {
    grpc::ClientContext context;
    v1::ListJobsResponse response;
    ASSERT_TRUE(compression_->ListJobs(&context, request, &response).ok());
    for (const v1::Job& job : response.jobs()) listed.push_back(job.name());
    request.set_page_token(response.next_page_token());
    ++pages;
  } while (!request.page_token().empty());
  EXPECT_EQ(pages, 3);
  EXPECT_EQ(listed, std::vector<std::string>(created.rbegin(), created.rend()));
  request.set_page_token("made up");
  grpc::ClientContext context;
  v1::ListJobsResponse response;
  EXPECT_EQ(ErrorReason(
                FromGrpc(compression_->ListJobs(&context, request, &response))),
            "BAD_PAGE_TOKEN");
}

TEST_F(CompressionServiceTest, AFinishedJobStaysAsItIsWhenCancelled) {
  const std::string name = Create(NewJob())->name();
  EXPECT_EQ(Cancel(name)->state(), v1::Job::CANCELLED);
  const v1::Job ended = Get(name).value();
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(Cancel(name)->end_time().seconds(), ended.end_time().seconds());
}

}  // namespace
}  // namespace condense
