// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_server.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_replace.h"
#include "tools/rest_lane.h"
#include "tools/rest_load.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

TensorMemory GradientMemory(const LoadProfile& profile) {
  const size_t bytes = CompareGradientBytes(profile);
  return {std::shared_ptr<void>(new float[bytes / sizeof(float)],
                                [](void* block) { delete[] static_cast<float*>(block); }),
          bytes};
}

// A server of one form with the tensors of a profile.
struct Served {
  Served(RestForm form, const LoadProfile& profile) {
    std::vector<std::pair<std::string, size_t>> tensors;
    for (const TensorSpec& tensor : profile.tensors) {
      tensors.emplace_back(tensor.name, static_cast<size_t>(ElementCount(tensor.shape)));
      placement.names.push_back(tensor.name);
      placement.servers.push_back(0);
    }
    store = std::make_unique<RestStore>(tensors, kCompareLearningRate);
    server = *RestServer::Start(form, store.get());
    placement.ports = {server->port()};
  }
  RestMemory memory;
  std::unique_ptr<RestStore> store;
  std::unique_ptr<RestServer> server;
  RestPlacement placement;
};

class RestServerTest : public ::testing::TestWithParam<RestForm> {};

TEST_P(RestServerTest, LoadOfSeveralRequestsInFlightHasNoWrongAnswer) {
  const LoadProfile profile = *MakeLoadProfile("uniform:8x1000");
  Served served(GetParam(), profile);
  CompareLoad load(profile, 0, 1, GradientMemory(profile), [&] {
    return std::make_unique<RestLane>(GetParam(), served.placement, &served.memory);
  });
  for (const bool push : {true, false}) {
    for (const uint32_t in_flight : {1u, 4u}) {
      const auto result = load.Run({push, in_flight, /*seconds=*/0, /*min_exchanges=*/40});
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(result->wrong, 0u);
      EXPECT_GE(result->exchanges, 40u);
      EXPECT_EQ(result->checked, result->exchanges * 1000);
      EXPECT_EQ(result->bytes, result->exchanges * (push ? 8000 : 4000));
      EXPECT_EQ(result->latency_ns.count(), result->exchanges);
    }
  }
}

TEST_P(RestServerTest, ServerThatHasFreedItsMemoryAnswersAsBefore) {
  const LoadProfile profile = *MakeLoadProfile("uniform:2x1000");
  Served served(GetParam(), profile);
  CompareLoad load(profile, 0, 1, GradientMemory(profile), [&] {
    return std::make_unique<RestLane>(GetParam(), served.placement, &served.memory);
  });
  for (int round = 0; round < 2; ++round) {
    const auto result = load.Run({/*push=*/true, 2, /*seconds=*/0, /*min_exchanges=*/10});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->wrong, 0u);
    served.server->FreeMemory();
    served.store->FreeMemory();
    served.memory.Clear();
  }
}

TEST_P(RestServerTest, WrongValueIsCounted) {
  const LoadProfile profile = *MakeLoadProfile("uniform:1x1000");
  Served served(GetParam(), profile);
  std::vector<float> gradient(1000, 0.0f);
  gradient[77] = 1;
  ASSERT_TRUE(served.store->Push("tensor0", gradient).ok());
  CompareLoad load(profile, 0, 1, GradientMemory(profile), [&] {
    return std::make_unique<RestLane>(GetParam(), served.placement, &served.memory);
  });
  const auto result = load.Run({/*push=*/false, 1, 0, 1});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_GE(result->wrong, 999u);
}

INSTANTIATE_TEST_SUITE_P(Forms, RestServerTest,
                         ::testing::Values(RestForm::kNumbers, RestForm::kBase64,
                                           RestForm::kFastBase64),
                         [](const auto& info) {
                           return absl::StrReplaceAll(RestFormName(info.param), {{"-", "_"}});
                         });

class RestRequestTest : public ::testing::Test {
 protected:
  RestRequestTest()
      : served_(RestForm::kBase64, *MakeLoadProfile("uniform:1x4")),
        connection_(*RestConnection::Connect(served_.server->port())) {}

  // The status of the answer to `head` and `body`; 0: the connection ended.
  int Ask(absl::string_view head, absl::string_view body) {
    if (!connection_->Send(head, body).ok()) return 0;
    const auto reply = connection_->ReceiveReply(&body_);
    return reply.ok() ? reply->status : 0;
  }
  int Post(absl::string_view target, absl::string_view body) {
    return Ask(HttpRequest("POST", target, "h", body.size()), body);
  }

  Served served_;
  std::unique_ptr<RestConnection> connection_;
  RestBuffer body_{&served_.memory};
};

TEST_F(RestRequestTest, BadBodyIsAnsweredAndTheConnectionGoesOn) {
  EXPECT_EQ(Post("/v1/tensors/tensor0", "{\"version\":0,\"values\":\"AAAA\"}"), 400);
  EXPECT_THAT(std::string(body_.text()), HasSubstr("expected 4 floats"));
  EXPECT_EQ(Post("/v1/tensors/tensor0", ""), 400);
  EXPECT_EQ(Post("/v1/tensors/tensor0", "\xff\xfe{"), 400);
  EXPECT_EQ(served_.store->Pull("tensor0")->version, 0u);
  EXPECT_EQ(Ask(HttpRequest("GET", "/v1/tensors/tensor0", "h", 0), ""), 200);
}

TEST_F(RestRequestTest, UnknownTensorIsNotFoundAndUnknownMethodNotImplemented) {
  EXPECT_EQ(Post("/v1/tensors/nothing", "{}"), 404);
  EXPECT_EQ(Post("/", "{}"), 404);
  EXPECT_EQ(Ask(HttpRequest("PUT", "/v1/tensors/tensor0", "h", 0), ""), 501);
}

TEST_F(RestRequestTest, PoisonIsRefusedAndNothingIsApplied) {
  EXPECT_EQ(Post("/v1/tensors/tensor0", "{\"version\":0,\"values\":\"AADAfwAAAAAAAAAAAAAAAA==\"}"),
            400);
  EXPECT_EQ(served_.store->Pull("tensor0")->version, 0u);
}

TEST_F(RestRequestTest, WhatIsNoHttpIsAnsweredAndClosed) {
  EXPECT_EQ(Ask("GET / HTTP/9\r\n\r\n", ""), 400);
  EXPECT_EQ(Ask(HttpRequest("GET", "/v1/tensors/tensor0", "h", 0), ""), 0);
}

TEST_F(RestRequestTest, BodyOverTheLimitIsRefusedBeforeItIsRead) {
  EXPECT_EQ(Ask(HttpRequest("POST", "/v1/tensors/tensor0", "h", kMaxHttpBodyBytes + 1), ""), 413);
}

TEST_F(RestRequestTest, ClientThatGoesInTheMiddleLeavesTheServerServing) {
  ASSERT_TRUE(connection_->Send(HttpRequest("POST", "/v1/tensors/tensor0", "h", 100), "{").ok());
  connection_ = *RestConnection::Connect(served_.server->port());
  EXPECT_EQ(Ask(HttpRequest("GET", "/v1/tensors/tensor0", "h", 0), ""), 200);
}

TEST(CompareTensorsTest, SixteenthOfResNet50IsEverySixteenthTensor) {
  const LoadProfile profile = *MakeLoadProfile("resnet50");
  const std::vector<uint32_t> tensors = CompareTensors(profile);
  double elements = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(tensors[i], tensors[0] + i * kComparePart);
    elements += static_cast<double>(ElementCount(profile.tensors[tensors[i]].shape));
  }
  EXPECT_NEAR(elements / static_cast<double>(profile.parameters()), 1.0 / kComparePart, 0.01);
}

TEST(CompareTensorsTest, SmallModelHasAtLeastOneTensor) {
  EXPECT_EQ(CompareTensors(*MakeLoadProfile("uniform:8x1000")), (std::vector<uint32_t>{0}));
}

TEST(PhaseResultTest, ResultComesBackFromJsonAndAdds) {
  PhaseResult one;
  one.mb_per_second = 2.5;
  one.exchanges = 3;
  one.bytes = 4;
  one.checked = 5;
  one.wrong = 6;
  one.latency_ns.Record(123456, 3);
  auto back = PhaseResultFromJson(ToJson(one));
  ASSERT_TRUE(back.ok()) << back.status();
  back->Add(one);
  EXPECT_EQ(back->mb_per_second, 5);
  EXPECT_EQ(back->exchanges, 6u);
  EXPECT_EQ(back->bytes, 8u);
  EXPECT_EQ(back->checked, 10u);
  EXPECT_EQ(back->wrong, 12u);
  EXPECT_EQ(back->latency_ns.count(), 6u);
  EXPECT_NEAR(static_cast<double>(back->latency_ns.Percentile(50)), 123456, 1000);
}

TEST(PhaseResultTest, WhatIsNoResultOrPhaseIsRefused) {
  EXPECT_EQ(PhaseResultFromJson({{"exchanges", 1}}).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_TRUE(ComparePhaseFromJson(ToJson(ComparePhase{})).ok());
  for (const ComparePhase& phase : {ComparePhase{true, 0, 1, 1}, ComparePhase{true, 65, 1, 1},
                                    ComparePhase{true, 1, -1, 1}, ComparePhase{true, 1, 601, 1}}) {
    EXPECT_EQ(ComparePhaseFromJson(ToJson(phase)).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_FALSE(ComparePhaseFromJson("x").ok());
}

}  // namespace
}  // namespace weir
