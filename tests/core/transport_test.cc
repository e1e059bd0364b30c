// SPDX-License-Identifier: Apache-2.0
#include "core/transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/host_key.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const char kHere[] = "boot/1000/1/2/3:4";
const char kThere[] = "other/1000/1/2/3:4";
const Route kTcp = {Transport::kTcp, "10.0.0.1:7000"};
const Route kUds = {Transport::kUds, "unix:/run/user/1000/weir/s"};

ShardAddress Shard(const char* host_key) {
  return {"10.0.0.1:7000", "/run/user/1000/weir/s", host_key};
}

std::vector<Route> Routes(const ShardAddress& shard, Transport wanted) {
  const auto routes = PickRoutes(shard, wanted, kHere);
  EXPECT_TRUE(routes.ok()) << routes.status();
  return routes.ok() ? *routes : std::vector<Route>();
}

TEST(TransportTest, NamesAndNumbersAreReadAndOthersRefused) {
  for (const Transport transport :
       {Transport::kAuto, Transport::kTcp, Transport::kUds, Transport::kShm}) {
    EXPECT_EQ(*TransportOf(absl::string_view(TransportName(transport))), transport);
    EXPECT_EQ(*TransportOf(static_cast<uint32_t>(transport)), transport);
  }
  EXPECT_EQ(*TransportOf(0u), Transport::kAuto);
  EXPECT_EQ(TransportOf(5u).status().code(), absl::StatusCode::kUnimplemented);
  for (const char* name : {"", "TCP", "pigeon", "unknown"})
    EXPECT_EQ(TransportOf(absl::string_view(name)).status().code(),
              absl::StatusCode::kInvalidArgument);
}

TEST(PickRoutesTest, AutoTakesTheSocketOfTheSameHostAndFallsBackToTcp) {
  EXPECT_THAT(Routes(Shard(kHere), Transport::kAuto), ElementsAre(kUds, kTcp));
}

TEST(PickRoutesTest, AutoTakesTcpToAnotherHostAndToAServerWithoutASocket) {
  EXPECT_THAT(Routes(Shard(kThere), Transport::kAuto), ElementsAre(kTcp));
  EXPECT_THAT(Routes(Shard(""), Transport::kAuto), ElementsAre(kTcp));
  ShardAddress without = Shard(kHere);
  without.uds_path.clear();
  EXPECT_THAT(Routes(without, Transport::kAuto), ElementsAre(kTcp));
}

TEST(PickRoutesTest, TcpIsTcpOnTheSameHostToo) {
  EXPECT_THAT(Routes(Shard(kHere), Transport::kTcp), ElementsAre(kTcp));
}

TEST(PickRoutesTest, UdsAndShmGoThroughTheSocketAlone) {
  EXPECT_THAT(Routes(Shard(kHere), Transport::kUds), ElementsAre(kUds));
  EXPECT_THAT(Routes(Shard(kHere), Transport::kShm), ElementsAre(kUds));
}

TEST(PickRoutesTest, UdsAndShmToAnotherHostAreRefusedNamingBoth) {
  for (const Transport wanted : {Transport::kUds, Transport::kShm}) {
    const absl::Status status = PickRoutes(Shard(kThere), wanted, kHere).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(TransportName(wanted)), HasSubstr("10.0.0.1:7000"),
                      HasSubstr("another machine"), HasSubstr(kHere), HasSubstr(kThere)));
  }
}

TEST(PickRoutesTest, UdsToAServerWithoutASocketIsRefused) {
  ShardAddress without = Shard(kHere);
  without.uds_path.clear();
  const absl::Status status = PickRoutes(without, Transport::kUds, kHere).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("has no Unix socket"));
}

TEST(PickRoutesTest, AClientThatCannotTellItsHostUsesTcp) {
  const auto routes = PickRoutes(Shard(""), Transport::kAuto, "");
  ASSERT_TRUE(routes.ok());
  EXPECT_THAT(*routes, ElementsAre(kTcp));
  EXPECT_FALSE(PickRoutes(Shard(kHere), Transport::kUds, "").ok());
}

}  // namespace
}  // namespace weir
