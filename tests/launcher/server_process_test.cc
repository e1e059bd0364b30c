// SPDX-License-Identifier: Apache-2.0
// A coordinator, servers and the reading of their weights, in one process over real sockets.
#include "launcher/server_process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <limits>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "core/host_key.h"
#include "core/transport.h"
#include "launcher/coordinator_codec.h"
#include "launcher/coordinator_service.h"
#include "launcher/server_shards.h"
#include "launcher/weight_export.h"

namespace weir {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;

constexpr absl::Duration kLimit = absl::Seconds(30);
constexpr char kToken[] = "secret";
const std::string kHostKey = ReadHostKey();
constexpr char kTopology[] =
    "version: 1\nname: t\nworkers: {program: [none]}\ntrain: {optimizer: {type: momentum, "
    "learning_rate: 0.25}}\n";

// A job of two servers with two shards each, whose worker is the test itself.
class ServerProcessTest : public ::testing::Test {
 protected:
  ServerProcessTest() {
    sigemptyset(&signals);
    char name[] = "/tmp/server_process_test.XXXXXX";
    directory = mkdtemp(name);
    socket_bases = {directory};
  }
  ~ServerProcessTest() override {
    if (service != nullptr) service->Stop("the test is over");
    for (std::thread& thread : threads) thread.join();
    servers.clear();
    if (host != nullptr) host->Shutdown(absl::ZeroDuration());
    std::filesystem::remove_all(directory);
  }

  void StartCoordinator(const std::string& init_path = "", Transport transport = Transport::kAuto) {
    Membership::Options options;
    options.job_id = {9, 9};
    options.job_token = kToken;
    options.settings.servers = 2;
    options.settings.shards = 4;
    options.settings.slice_bytes = 1024;
    options.settings.topology = kTopology;
    options.settings.init_path = init_path;
    options.settings.transport = static_cast<uint32_t>(transport);
    service = std::make_unique<CoordinatorService>(options);
    ServerHost::Options server;
    server.services = {service->service()};
    server.has_token = true;
    auto started = ServerHost::Start(server);
    ASSERT_TRUE(started.ok()) << started.status();
    host = *std::move(started);
    client = std::make_unique<CoordinatorClient>(host->address());
  }

  ServerProcess::Options ServerOptions() {
    ServerProcess::Options options;
    options.coordinator = host == nullptr ? "127.0.0.1:1" : host->address();
    options.job_token = kToken;
    options.host_name = "alpha";
    options.socket_bases = socket_bases;
    options.host_key = kHostKey;
    return options;
  }

  // Serves in a thread of its own; how it ended is in results[position].
  void StartServers() {
    results.resize(2);
    for (int i = 0; i < 2; ++i) {
      servers.push_back(std::make_unique<ServerProcess>(ServerOptions()));
      ASSERT_TRUE(servers.back()->Listen().ok());
      threads.emplace_back([this, i] { results[i] = servers[i]->Serve(signals); });
    }
  }

  template <typename Request>
  Request AsWorker() {
    Request request;
    request.mutable_job()->set_job_id(std::string("\t\t") + std::string(14, '\0'));
    request.mutable_job()->set_job_token(kToken);
    request.set_role(v1::MEMBER_ROLE_WORKER);
    request.set_incarnation(1);
    return request;
  }

  // Joins and declares as the worker; the answer to its wait for the layout.
  absl::StatusOr<v1::GetLayoutReply> Declare(double constant) {
    v1::JoinRequest join;
    join.mutable_job()->set_job_token(kToken);
    join.set_protocol_min(1);
    join.set_protocol_max(1);
    join.set_role(v1::MEMBER_ROLE_WORKER);
    EXPECT_TRUE(client->Join(join, kLimit).ok());
    auto declare = AsWorker<v1::DeclareRequest>();
    for (const char* name : {"w", "b"}) {
      v1::TensorSpec* tensor = declare.add_tensors();
      tensor->set_name(name);
      tensor->add_shape(name[0] == 'w' ? 1000 : 3);
      tensor->mutable_initializer()->set_kind(v1::Initializer::KIND_CONSTANT);
      tensor->mutable_initializer()->set_a(name[0] == 'w' ? constant : -constant);
    }
    EXPECT_TRUE(client->Declare(declare, kLimit).ok());
    auto layout = AsWorker<v1::GetLayoutRequest>();
    layout.set_wait_ms(30000);
    return client->GetLayout(layout, kLimit);
  }

  sigset_t signals;
  std::string directory;
  std::vector<std::string> socket_bases;
  std::unique_ptr<CoordinatorService> service;
  std::unique_ptr<ServerHost> host;
  std::unique_ptr<CoordinatorClient> client;
  std::vector<std::unique_ptr<ServerProcess>> servers;
  std::vector<absl::Status> results;
  std::vector<std::thread> threads;
};

TEST_F(ServerProcessTest, ServersJoinServeTheLayoutGiveTheirWeightsAndLeaveWhenToldTo) {
  StartCoordinator();
  StartServers();
  auto layout = Declare(0.5);
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->layout().shards_size(), 4);

  auto weights = ReadWeights(service->Status(), kToken, kHostKey, kLimit);
  ASSERT_TRUE(weights.ok()) << weights.status();
  const std::vector<WeightsView> views = (*weights)->Views();
  ASSERT_EQ(views.size(), 2u);
  EXPECT_EQ(views[0].name, "w");
  ASSERT_EQ(views[0].data.size(), 1000u);
  EXPECT_THAT(views[0].data, Each(0.5f));
  EXPECT_THAT(views[1].data, Each(-0.5f));

  service->Stop("enough");
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  for (const absl::Status& result : results) EXPECT_TRUE(result.ok()) << result;
  const JobStatus status = service->Status();
  EXPECT_EQ(status.members[0].state, MemberState::kLeft);
  EXPECT_EQ(status.members[0].host, "alpha");
  EXPECT_EQ(status.failure, "");
}

TEST_F(ServerProcessTest, WeightsAreNotReadWithAWrongTokenNorBeforeThereAreAny) {
  StartCoordinator();
  EXPECT_EQ(ReadWeights(service->Status(), kToken, kHostKey, kLimit).status().code(),
            absl::StatusCode::kFailedPrecondition);
  StartServers();
  ASSERT_TRUE(Declare(1).ok());
  EXPECT_EQ(ReadWeights(service->Status(), "wrong", kHostKey, kLimit).status().code(),
            absl::StatusCode::kUnauthenticated);
  JobStatus other = service->Status();
  other.job_id[0] = 1;
  EXPECT_FALSE(ReadWeights(other, kToken, kHostKey, kLimit).ok());
}

TEST_F(ServerProcessTest, AServerThatIsGoneGivesNoWeights) {
  StartCoordinator();
  StartServers();
  ASSERT_TRUE(Declare(1).ok());
  const JobStatus status = service->Status();
  service->Stop("enough");
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  servers.clear();
  EXPECT_EQ(ReadWeights(status, kToken, kHostKey, kLimit).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(ServerProcessTest, GivenWeightsAreTheFirst) {
  const std::vector<float> w(1000, 0.25f), b = {1, 2, 3};
  const std::string path = directory + "/first.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, {{"w", {1000}, w}, {"b", {3}, b}}, {}).ok());
  StartCoordinator(path);
  StartServers();
  ASSERT_TRUE(Declare(7).ok());
  auto weights = ReadWeights(service->Status(), kToken, kHostKey, kLimit);
  ASSERT_TRUE(weights.ok()) << weights.status();
  EXPECT_THAT((*weights)->Views()[0].data, Each(0.25f));
  EXPECT_EQ((*weights)->Views()[1].data[2], 3.0f);
}

TEST_F(ServerProcessTest, GivenWeightsThatDoNotMatchFailTheJobListingThem) {
  const std::vector<float> w(999, 0.25f);
  const std::string path = directory + "/first.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, {{"w", {999}, w}}, {}).ok());
  StartCoordinator(path);
  StartServers();
  EXPECT_FALSE(Declare(7).ok());
  EXPECT_THAT(service->Status().failure, HasSubstr("'w'"));
  EXPECT_THAT(service->Status().failure, HasSubstr("'b'"));
}

TEST_F(ServerProcessTest, GivenWeightsThatHoldNaNFailTheJobNamingThem) {
  std::vector<float> w(1000, 0.25f);
  w[600] = std::numeric_limits<float>::quiet_NaN();
  const std::string path = directory + "/first.safetensors";
  ASSERT_TRUE(WriteSafetensors(path, {{"w", {1000}, w}, {"b", {3}, {1, 2, 3}}}, {}).ok());
  StartCoordinator(path);
  StartServers();
  EXPECT_FALSE(Declare(7).ok());
  EXPECT_TRUE(service->AwaitEnd(kLimit)) << "and every server has left";
  EXPECT_THAT(service->Status().failure, HasSubstr("first weights of tensor 'w' hold NaN"));
}

TEST_F(ServerProcessTest, AFileOfFirstWeightsThatIsMissingFailsTheJobNamingIt) {
  StartCoordinator(directory + "/none.safetensors");
  StartServers();
  EXPECT_TRUE(service->AwaitEnd(kLimit)) << "and every server has left";
  EXPECT_THAT(service->Status().failure, HasSubstr("none.safetensors"));
}

TEST_F(ServerProcessTest, ServersOfferASocketOfTheirOwnAndTakeItAwayWhenTheyEnd) {
  StartCoordinator();
  StartServers();
  auto layout = Declare(0.5);
  ASSERT_TRUE(layout.ok()) << layout.status();
  std::set<std::string> paths;
  for (const v1::ShardAddress& shard : layout->layout().shards()) {
    EXPECT_TRUE(CheckSocket(shard.uds_path()).ok()) << shard.uds_path();
    EXPECT_EQ(shard.host_key(), kHostKey);
    paths.insert(shard.uds_path());
  }
  EXPECT_EQ(paths.size(), 2u);
  // By the socket, as nobody answers at the address; and by the address, from another host.
  JobStatus status = service->Status();
  EXPECT_TRUE(ReadWeights(status, kToken, "another host", kLimit).ok());
  for (ShardAddress& shard : status.layout.shard_addresses) shard.address = "127.0.0.1:1";
  EXPECT_TRUE(ReadWeights(status, kToken, kHostKey, kLimit).ok());

  service->Stop("enough");
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  servers.clear();
  for (const std::string& path : paths) EXPECT_FALSE(CheckSocket(path).ok());
  EXPECT_TRUE(std::filesystem::is_empty(directory));
}

TEST_F(ServerProcessTest, AJobThatWantsTcpHasNoSockets) {
  StartCoordinator("", Transport::kTcp);
  StartServers();
  auto layout = Declare(0.5);
  ASSERT_TRUE(layout.ok()) << layout.status();
  for (const v1::ShardAddress& shard : layout->layout().shards()) EXPECT_EQ(shard.uds_path(), "");
  EXPECT_TRUE(std::filesystem::is_empty(directory));
  EXPECT_TRUE(ReadWeights(service->Status(), kToken, kHostKey, kLimit).ok());
}

TEST_F(ServerProcessTest, WithoutAPlaceForASocketServersServeOnTcp) {
  socket_bases = {directory + "/none"};
  StartCoordinator();
  StartServers();
  auto layout = Declare(0.5);
  ASSERT_TRUE(layout.ok()) << layout.status();
  for (const v1::ShardAddress& shard : layout->layout().shards()) EXPECT_EQ(shard.uds_path(), "");
}

TEST_F(ServerProcessTest, WithoutAPlaceForASocketAJobThatWantsOneFailsSayingWhy) {
  socket_bases = {directory + "/none"};
  StartCoordinator("", Transport::kUds);
  StartServers();
  EXPECT_TRUE(service->AwaitEnd(kLimit)) << "and every server has left";
  EXPECT_THAT(service->Status().failure, HasSubstr("the job's transport is uds"));
  EXPECT_THAT(service->Status().failure, HasSubstr("/none: No such file"));
}

TEST_F(ServerProcessTest, ATransportOfAnotherBuildIsRefused) {
  StartCoordinator("", static_cast<Transport>(77));
  StartServers();
  EXPECT_TRUE(service->AwaitEnd(kLimit)) << "and every server has left";
  EXPECT_THAT(service->Status().failure, HasSubstr("transport 77 is not known"));
}

TEST_F(ServerProcessTest, ASecondServerForOnePlaceIsRefused) {
  StartCoordinator();
  StartServers();
  ASSERT_TRUE(Declare(1).ok());
  ServerProcess::Options options = ServerOptions();
  options.rank = 0;
  options.host_name = "beta";
  ServerProcess second(options);
  ASSERT_TRUE(second.Listen().ok());
  const absl::Status status = second.Serve(signals);
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(status.message()), HasSubstr("host alpha"));
}

TEST_F(ServerProcessTest, ACoordinatorThatIsNotThereIsUnavailable) {
  ServerProcess::Options options = ServerOptions();
  options.join_limit = absl::ZeroDuration();
  ServerProcess server(options);
  ASSERT_TRUE(server.Listen().ok());
  const absl::Status status = server.Serve(signals);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1:1"));
}

TEST_F(ServerProcessTest, OffLoopbackNothingIsServedWithoutAToken) {
  ServerProcess::Options options = ServerOptions();
  options.host = "0.0.0.0";
  options.job_token.clear();
  EXPECT_EQ(ServerProcess(options).Listen().code(), absl::StatusCode::kFailedPrecondition);
  options.job_token = "secret";
  EXPECT_TRUE(ServerProcess(options).Listen().ok());
}

TEST_F(ServerProcessTest, AnAddressOfThisMachineOnlyIsNotToldToWorkersElsewhere) {
  ServerProcess::Options options = ServerOptions();
  options.coordinator = "10.1.2.3:4000";
  const absl::Status status = ServerProcess(options).Listen();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--advertise"));
}

TEST(ServerShardsTest, TheTopologySaysHowShardsUpdate) {
  JobSettings settings;
  settings.topology = kTopology;
  settings.mode = 2;
  settings.has_max_staleness = true;
  settings.max_staleness = 3;
  settings.gradient_shards = 5;
  settings.seed = 11;
  auto options = ShardOptionsOf(settings);
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->optimizer.type, OptimizerType::kMomentum);
  EXPECT_EQ(options->schedule.base_rate, 0.25);
  EXPECT_EQ(options->mode, ConsistencyMode::kAsp);
  EXPECT_EQ(options->max_staleness, 3u);
  EXPECT_EQ(options->gradient_shards, 5u);
  EXPECT_EQ(options->seed, 11u);
  settings.topology = "version: [";
  EXPECT_EQ(ShardOptionsOf(settings).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace weir
