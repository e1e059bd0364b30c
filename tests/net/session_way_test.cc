// SPDX-License-Identifier: Apache-2.0
// Which sessions move to shared memory, which stay on their socket, and what ends those that have
// moved.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/synchronization/notification.h"
#include "tests/net/session_shm_harness.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

class SessionWayTest : public SessionShmTest {};

TEST_F(SessionWayTest, WhoIsInvitedAndDoesNotComeStaysOnItsSocket) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(Hello(kFeatureShm)).ok());
  const auto reply = recorder.Take(1);
  EXPECT_FALSE(std::get<HelloReplyFrame>(reply.at(0).kind).shm_key.empty());
  ExpectEcho(&client, &recorder);
  client.Close();
  EXPECT_TRUE(shard_->AwaitClosed(1));
  EXPECT_EQ(door_->statistics().links, 0u);
}

TEST_F(SessionWayTest, WhoComesWithGarbageIsHungUpOnAndStaysOnItsSocket) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(Hello(kFeatureShm)).ok());
  const auto frames = recorder.Take(1);
  const auto& reply = std::get<HelloReplyFrame>(frames.at(0).kind);
  for (const std::string& junk : {std::string("x"), std::string(64, 'x'), std::string(500, '\0')}) {
    const auto socket = ConnectHandover(reply.shm_socket);
    ASSERT_TRUE(socket.ok()) << socket.status();
    ASSERT_EQ(send(socket->get(), junk.data(), junk.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(junk.size()));
    pollfd hung_up{socket->get(), POLLIN, 0};
    ASSERT_EQ(poll(&hung_up, 1, static_cast<int>(absl::ToInt64Milliseconds(kPatience))), 1);
    char byte;
    EXPECT_LE(recv(socket->get(), &byte, 1, 0), 0);
  }
  ExpectEcho(&client, &recorder);
}

TEST_F(SessionWayTest, AFrameByTheSocketOfASessionThatHasMovedEndsIt) {
  Recorder recorder;
  SessionClient client(Channel(), &loop_, &recorder);
  ASSERT_TRUE(client.Send(Hello(kFeatureShm)).ok());
  const auto frames = recorder.Take(1);
  const auto& reply = std::get<HelloReplyFrame>(frames.at(0).kind);
  ShmKey key;
  ASSERT_EQ(reply.shm_key.size(), key.size());
  std::memcpy(key.data(), reply.shm_key.data(), key.size());
  const auto poller = *ShmPoller::Create({});
  testing::Recorder at_link;
  const auto link = *ShmLink::Offer(reply.shm_socket, key, {});
  poller->Add(link, &at_link);
  while (at_link.ups == 0) poller->PollOnce(absl::InfiniteDuration());
  // The server may still be about to move.
  EXPECT_TRUE(Soon([this] { return host_->statistics().workers_over_shm == 1; }));
  ASSERT_TRUE(client.Send(PushOf(1)).ok());
  const absl::Status status = recorder.AwaitClosed();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  while (at_link.closed.empty()) poller->PollOnce(absl::InfiniteDuration());
  EXPECT_TRUE(shard_->AwaitClosed(1));
}

TEST_F(SessionWayTest, WithoutMemoryTheSessionStaysOnItsSocketAndSaysWhy) {
  Recorder recorder;
  SessionClient::Options options = WithShm();
  options.available_bytes = [] { return uint64_t{1000}; };
  SessionClient client(Channel(), &loop_, &recorder, options);
  ASSERT_TRUE(client.Send(Hello()).ok());
  ASSERT_TRUE(client.Send(PushOf(1)).ok());
  recorder.Take(2);
  EXPECT_EQ(WayOf(client), SessionClient::Way::kNoMemory);
  EXPECT_THAT(why_, HasSubstr("no room for"));
  ExpectEcho(&client, &recorder, Pattern(3 * kMiB, 1));
  EXPECT_EQ(host_->statistics().workers_over_uds, 1u);
}

TEST_F(SessionWayTest, WhereTheServerDoesNotTakeTheOfferTheSessionStaysOnItsSocket) {
  ShmHost::Options door;
  door.link.max_frame_bytes = 8 * kMiB;  // for which the client's rings are too small
  Serve(door);
  Recorder recorder;
  const auto client = Connect(&recorder);
  ASSERT_TRUE(client->Send(Hello()).ok());
  for (uint64_t i = 1; i <= 100; ++i) ASSERT_TRUE(client->Send(PushOf(i)).ok());
  std::vector<ServerFrame> frames;
  while (frames.size() < 101) {
    auto more = recorder.Take(1);
    ASSERT_FALSE(more.empty());
    for (ServerFrame& frame : more) frames.push_back(std::move(frame));
  }
  for (size_t i = 0; i < frames.size(); ++i) EXPECT_EQ(frames[i].request_id, i + 1);
  EXPECT_EQ(WayOf(*client), SessionClient::Way::kNoMemory);
  EXPECT_THAT(why_, HasSubstr("gone"));
  EXPECT_EQ(host_->statistics().workers_over_uds, 1u);
}

TEST_F(SessionWayTest, WhoDoesNotAskStaysOnItsSocketAndSoDoAllOfAServerWithoutSharedMemory) {
  {
    Recorder recorder;
    SessionClient client(Channel(), &loop_, &recorder);
    ASSERT_TRUE(client.Send(Hello()).ok());
    EXPECT_TRUE(std::get<HelloReplyFrame>(recorder.Take(1).at(0).kind).shm_key.empty());
    ExpectEcho(&client, &recorder);
    EXPECT_EQ(WayOf(client), SessionClient::Way::kStream);
  }
  Serve({}, /*shared=*/false);
  Recorder recorder;
  const auto client = Connect(&recorder);
  ASSERT_TRUE(client->Send(Hello()).ok());
  recorder.Take(1);
  ExpectEcho(client.get(), &recorder);
  EXPECT_EQ(WayOf(*client), SessionClient::Way::kStream);
}

TEST_F(SessionWayTest, TheHostCountsWorkersByTheWayTheyTravel) {
  Recorder recorders[3];
  SessionClient tcp(MakeChannel(server_->address()), &loop_, &recorders[0], WithShm());
  SessionClient uds(Channel(), &loop_, &recorders[1]);
  ASSERT_TRUE(tcp.Send(Hello()).ok());
  ASSERT_TRUE(uds.Send(Hello()).ok());
  recorders[0].Take(1);
  recorders[1].Take(1);
  EXPECT_EQ(WayOf(tcp), SessionClient::Way::kStream);  // a server invites nobody by TCP
  const auto shm = Move(&recorders[2]);
  ExpectEcho(shm.get(), &recorders[2]);
  const SessionHost::Statistics statistics = host_->statistics();
  EXPECT_EQ(statistics.workers_over_tcp, 1u);
  EXPECT_EQ(statistics.workers_over_uds, 1u);
  EXPECT_EQ(statistics.workers_over_shm, 1u);
  EXPECT_EQ(statistics.payload_sent_bytes, 2u);
  EXPECT_EQ(statistics.payload_sent_copied_bytes, 2u) << "so few bytes travel within the record";
}

TEST_F(SessionWayTest, AWordThatLiesToTheServerEndsItsSessionAndNoOther) {
  Recorder good;
  const auto other = Move(&good);
  const std::vector<char*> before = Rings();
  Recorder recorder;
  const auto client = Move(&recorder);
  for (char* rings : Rings()) {
    if (std::count(before.begin(), before.end(), rings) != 0) continue;
    DirectionOf(rings, ShmGeometry(), ShmSide::kClient).tail->store(~uint64_t{0});
    break;  // the other mapping is of the same memory, and may be gone by now
  }
  served_->poller()->Wake();
  const absl::Status status = recorder.AwaitClosed();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(shard_->AwaitClosed(1));
  ExpectEcho(other.get(), &good);
}

TEST_F(SessionWayTest, AWordThatLiesToTheClientEndsTheSessionWhichIsToBeMadeAgainWithout) {
  Recorder recorder;
  const auto client = Move(&recorder);
  ExpectEcho(client.get(), &recorder);
  DirectionOf(Rings().at(0), ShmGeometry(), ShmSide::kServer).tail->store(~uint64_t{0});
  runtime_->poller()->Wake();
  const absl::Status status = recorder.AwaitClosed();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(WayOf(*client), SessionClient::Way::kBroken);
  EXPECT_TRUE(shard_->AwaitClosed(1));
}

}  // namespace
}  // namespace weir
