// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_conductor.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "absl/time/clock.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

class RestConductorTest : public ::testing::Test {
 protected:
  RestConductorTest() {
    char path[] = "/tmp/weir-conductor-XXXXXX";
    directory_ = mkdtemp(path);
    path_ = directory_ + "/socket";
    conductor_ = *Conductor::Listen(path_, [this] { return check_; });
  }
  ~RestConductorTest() override {
    unlink(path_.c_str());
    rmdir(directory_.c_str());
  }
  absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

  absl::Status check_ = absl::OkStatus();
  std::string directory_;
  std::string path_;
  std::unique_ptr<Conductor> conductor_;
};

TEST_F(RestConductorTest, EveryPlayerIsToldAndAnswersComeByRank) {
  std::vector<std::thread> players;
  for (uint32_t rank : {2u, 0u, 1u}) {
    players.emplace_back([this, rank] {
      const auto player = Player::Join(path_, "worker", rank, {{"port", 100 + rank}});
      const auto command = (*player)->Next();
      EXPECT_TRUE((*player)->Answer(nlohmann::json{(*command)["x"].get<int>() + 1, rank}).ok());
    });
  }
  const auto abouts = conductor_->Await("worker", 3, Soon());
  ASSERT_TRUE(abouts.ok()) << abouts.status();
  EXPECT_EQ((*abouts)[2]["port"], 102);
  const auto answers = conductor_->Ask("worker", {{"x", 41}}, Soon());
  ASSERT_TRUE(answers.ok()) << answers.status();
  for (uint32_t rank = 0; rank < 3; ++rank) EXPECT_EQ((*answers)[rank], nlohmann::json({42, rank}));
  for (std::thread& player : players) player.join();
}

TEST_F(RestConductorTest, SocketIsForThisUserAlone) {
  struct stat about {};
  ASSERT_EQ(stat(path_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
}

TEST_F(RestConductorTest, PlayersFailureIsToldWithItsName) {
  const auto player = Player::Join(path_, "worker", 0, nullptr);
  ASSERT_TRUE(conductor_->Await("worker", 1, Soon()).ok());
  ASSERT_TRUE((*player)->Answer(absl::DataLossError("spilt")).ok());
  const absl::Status status = conductor_->Ask("worker", nlohmann::json::object(), Soon()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("worker 0"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("spilt"));
}

TEST_F(RestConductorTest, PlayerThatIsGoneIsTold) {
  auto player = Player::Join(path_, "worker", 0, nullptr);
  ASSERT_TRUE(conductor_->Await("worker", 1, Soon()).ok());
  player->reset();
  EXPECT_EQ(conductor_->Ask("worker", nlohmann::json::object(), Soon()).status().code(),
            absl::StatusCode::kInternal);
}

TEST_F(RestConductorTest, PlayerIsToldWhenTheConductorIsGone) {
  const auto player = Player::Join(path_, "worker", 0, nullptr);
  ASSERT_TRUE(conductor_->Await("worker", 1, Soon()).ok());
  conductor_.reset();
  EXPECT_EQ((*player)->Next().status().code(), absl::StatusCode::kCancelled);
}

TEST_F(RestConductorTest, WaitEndsByItsDeadlineAndSaysForWhom) {
  const absl::Status status = conductor_->Await("worker", 2, absl::InfinitePast()).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("2 more processes of worker"));
}

TEST_F(RestConductorTest, WaitEndsWhenTheCheckFails) {
  check_ = absl::CancelledError("interrupted");
  EXPECT_EQ(conductor_->Await("worker", 1, Soon()).status().code(), absl::StatusCode::kCancelled);
}

TEST_F(RestConductorTest, PlayerThatWasNotExpectedIsRefused) {
  const auto first = Player::Join(path_, "worker", 5, nullptr);
  EXPECT_EQ(conductor_->Await("worker", 1, Soon()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(RestConductorTest, PathThatIsTooLongIsRefused) {
  EXPECT_EQ(Player::Join(std::string(200, 'a'), "worker", 0, nullptr).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace weir
