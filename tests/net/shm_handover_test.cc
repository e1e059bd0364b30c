// SPDX-License-Identifier: Apache-2.0
#include "net/shm_handover.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "net/shm_listener.h"
#include "tests/net/shm_ends.h"

namespace weir {
namespace {

using testing::Descriptors;
using testing::SocketPair;
using testing::SocketPlace;

HandoverMessage Sample(HandoverKind kind) {
  HandoverMessage message;
  message.kind = kind;
  if (kind == HandoverKind::kOffer) {
    message.key = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    message.geometry = ShmGeometry{65536, 1 << 20};
  }
  if (kind == HandoverKind::kSegment) message.bytes = 1 << 20;
  if (kind >= HandoverKind::kSegment && kind <= HandoverKind::kRefused) message.segment = 5;
  return message;
}

bool TakesDescriptor(HandoverKind kind) {
  return kind == HandoverKind::kOffer || kind == HandoverKind::kSegment;
}

const HandoverKind kKinds[] = {HandoverKind::kOffer, HandoverKind::kAccept,  HandoverKind::kSegment,
                               HandoverKind::kTaken, HandoverKind::kRefused, HandoverKind::kBell};

absl::string_view View(const HandoverBytes& bytes) { return {bytes.data(), bytes.size()}; }

TEST(ShmHandoverTest, EveryMessageIsReadAsItWasWritten) {
  for (const HandoverKind kind : kKinds) {
    const HandoverMessage sent = Sample(kind);
    const auto read = ParseHandover(View(EncodeHandover(sent)), TakesDescriptor(kind) ? 1 : 0);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->kind, sent.kind);
    EXPECT_EQ(read->key, sent.key);
    EXPECT_EQ(read->segment, sent.segment);
    EXPECT_EQ(read->bytes, sent.bytes);
    if (kind != HandoverKind::kOffer) continue;
    EXPECT_EQ(read->geometry.ring_bytes, sent.geometry.ring_bytes);
    EXPECT_EQ(read->geometry.bounce_bytes, sent.geometry.bounce_bytes);
  }
}

TEST(ShmHandoverTest, AMessageWithTheWrongNumberOfDescriptorsIsRefused) {
  for (const HandoverKind kind : kKinds) {
    const HandoverBytes bytes = EncodeHandover(Sample(kind));
    for (const size_t count : {size_t{0}, size_t{1}, size_t{2}}) {
      EXPECT_EQ(ParseHandover(View(bytes), count).ok(), count == (TakesDescriptor(kind) ? 1 : 0));
    }
  }
}

TEST(ShmHandoverTest, AMessageOfAnotherSizeMagicOrVersionIsRefused) {
  HandoverBytes bytes = EncodeHandover(Sample(HandoverKind::kAccept));
  EXPECT_FALSE(ParseHandover(View(bytes).substr(1), 0).ok());
  EXPECT_FALSE(ParseHandover(std::string(View(bytes)) + "x", 0).ok());
  EXPECT_FALSE(ParseHandover("", 0).ok());
  bytes[8] = 2;
  const auto other = ParseHandover(View(bytes), 0);
  EXPECT_TRUE(absl::StrContains(other.status().message(), "version 2, this build speaks 1"))
      << other.status();
  bytes = EncodeHandover(Sample(HandoverKind::kAccept));
  bytes[0] = 'w';
  EXPECT_FALSE(ParseHandover(View(bytes), 0).ok());
}

TEST(ShmHandoverTest, ANumberThatHasNoMeaningMustBeZero) {
  for (const HandoverKind kind : kKinds) {
    const HandoverBytes good = EncodeHandover(Sample(kind));
    size_t refused = 0;
    for (size_t i = 16; i < good.size(); ++i) {
      HandoverBytes bytes = good;
      bytes[i] ^= 0x40;
      refused += ParseHandover(View(bytes), TakesDescriptor(kind) ? 1 : 0).ok() ? 0 : 1;
    }
    // An offer has a key and two sizes, a segment a number and a size, an answer a number.
    const size_t meaning = kind == HandoverKind::kOffer                                     ? 32
                           : kind == HandoverKind::kSegment                                 ? 12
                           : kind == HandoverKind::kTaken || kind == HandoverKind::kRefused ? 4
                                                                                            : 0;
    EXPECT_EQ(refused, 48 - meaning) << static_cast<int>(kind);
  }
}

TEST(ShmHandoverTest, AnyBytesAreParsedOrRefused) {
  std::mt19937_64 random(3);
  int taken = 0;
  for (int i = 0; i < 50000; ++i) {
    std::string bytes(View(EncodeHandover(Sample(kKinds[random() % 6]))));
    for (uint64_t changes = random() % 3; changes > 0; --changes)
      bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 16 == 0) bytes.resize(random() % 128);
    taken += ParseHandover(bytes, random() % 2).ok() ? 1 : 0;
  }
  EXPECT_GT(taken, 5000);
  EXPECT_LT(taken, 45000);
}

TEST(ShmHandoverTest, ADescriptorIsHandedOverAndClosedOnExec) {
  const auto [here, there] = SocketPair();
  const auto segment = ShmSegment::Create(4096, SegmentAccess::kCreatorOnly, uint64_t{1} << 40);
  ASSERT_TRUE(segment.ok());
  (*segment)->data()[9] = 3;
  ASSERT_TRUE(SendHandover(here.get(), Sample(HandoverKind::kSegment), (*segment)->fd()).ok());
  auto received = ReceiveHandover(there.get());
  ASSERT_TRUE(received.ok()) << received.status();
  EXPECT_NE(fcntl(received->descriptor.get(), F_GETFD) & FD_CLOEXEC, 0);
  char byte = 0;
  EXPECT_EQ(pread(received->descriptor.get(), &byte, 1, 9), 1);
  EXPECT_EQ(byte, 3);
  EXPECT_TRUE(absl::IsNotFound(ReceiveHandover(there.get()).status()));
}

TEST(ShmHandoverTest, NothingWaitsForAPeerThatDoesNotRead) {
  const auto [here, there] = SocketPair();
  absl::Status status;
  for (int i = 0; i < 100000 && status.ok(); ++i)
    status = SendHandover(here.get(), HandoverMessage{}, -1);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

TEST(ShmHandoverTest, APeerThatIsGoneIsUnavailable) {
  auto [here, there] = SocketPair();
  there = ShmFd();
  EXPECT_TRUE(absl::IsUnavailable(SendHandover(here.get(), HandoverMessage{}, -1)));
  EXPECT_TRUE(absl::IsUnavailable(ReceiveHandover(here.get()).status()));
}

// Sends bytes and descriptors as no honest peer does.
void SendRaw(int socket, const std::string& bytes, const std::vector<int>& descriptors) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  std::vector<char> control(CMSG_SPACE(sizeof(int) * descriptors.size()));
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int) * descriptors.size());
  std::memcpy(CMSG_DATA(rights), descriptors.data(), sizeof(int) * descriptors.size());
  ASSERT_EQ(sendmsg(socket, &header, MSG_DONTWAIT), static_cast<ssize_t>(bytes.size()));
}

TEST(ShmHandoverTest, DescriptorsThatNobodyAskedForAreClosed) {
  const auto [here, there] = SocketPair();
  const std::string offer(View(EncodeHandover(Sample(HandoverKind::kOffer))));
  const std::string bell(View(EncodeHandover(HandoverMessage{})));
  const size_t before = Descriptors();
  SendRaw(here.get(), bell, {0});
  SendRaw(here.get(), offer, {0, 1});
  SendRaw(here.get(), offer, std::vector<int>(200, 0));
  SendRaw(here.get(), "nonsense", {0, 1, 2});
  for (int i = 0; i < 4; ++i)
    EXPECT_TRUE(absl::IsInvalidArgument(ReceiveHandover(there.get()).status()));
  EXPECT_EQ(Descriptors(), before);
}

TEST(ShmListenerTest, AnOfferArrivesWithItsSegmentAndItsConnection) {
  const SocketPlace place;
  const auto listener = *ShmListener::Listen(place.path(), {});
  struct stat file {};
  ASSERT_EQ(stat(place.path().c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 07777, 0600u);
  const auto segment = *ShmSegment::Create(4096, SegmentAccess::kBoth, uint64_t{1} << 40);
  const auto socket = ConnectHandover(place.path());
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_TRUE(listener->Run(absl::UnixEpoch()).empty());
  EXPECT_TRUE(listener->waiting());
  ASSERT_TRUE(SendHandover(socket->get(), Sample(HandoverKind::kOffer), segment->fd()).ok());
  pollfd readable{listener->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&readable, 1, 0), 1);
  const auto offers = listener->Run(absl::UnixEpoch());
  ASSERT_EQ(offers.size(), 1u);
  EXPECT_EQ(offers[0].message.key, Sample(HandoverKind::kOffer).key);
  EXPECT_TRUE(offers[0].segment);
  EXPECT_TRUE(SendHandover(offers[0].socket.get(), Sample(HandoverKind::kAccept), -1).ok());
  EXPECT_EQ(ReceiveHandover(socket->get())->message.kind, HandoverKind::kAccept);
  EXPECT_FALSE(listener->waiting());
}

TEST(ShmListenerTest, WhoDoesNotBeginWithAnOfferIsHungUpOn) {
  const SocketPlace place;
  const auto listener = *ShmListener::Listen(place.path(), {});
  const auto rude = ConnectHandover(place.path());
  const auto gone = ConnectHandover(place.path());
  listener->Run(absl::UnixEpoch());
  ASSERT_TRUE(SendHandover(rude->get(), HandoverMessage{}, -1).ok());
  shutdown(gone->get(), SHUT_RDWR);
  EXPECT_TRUE(listener->Run(absl::UnixEpoch()).empty());
  EXPECT_TRUE(absl::IsUnavailable(ReceiveHandover(rude->get()).status()));
  EXPECT_EQ(listener->statistics().refused, 2u);
  EXPECT_FALSE(listener->waiting());
}

TEST(ShmListenerTest, WhoOffersNothingInTimeIsHungUpOn) {
  const SocketPlace place;
  const auto listener = *ShmListener::Listen(place.path(), {});
  const auto silent = ConnectHandover(place.path());
  const absl::Time start = absl::UnixEpoch();
  listener->Run(start);
  listener->Run(start + absl::Seconds(9));
  EXPECT_TRUE(absl::IsNotFound(ReceiveHandover(silent->get()).status()));
  listener->Run(start + absl::Seconds(10));
  EXPECT_TRUE(absl::IsUnavailable(ReceiveHandover(silent->get()).status()));
}

TEST(ShmListenerTest, NoMoreThanTheLimitMayBeHalfOpen) {
  const SocketPlace place;
  ShmListener::Options options;
  options.max_waiting = 3;
  const auto listener = *ShmListener::Listen(place.path(), options);
  std::vector<ShmFd> peers;
  for (int i = 0; i < 10; ++i) {
    auto peer = ConnectHandover(place.path());
    ASSERT_TRUE(peer.ok()) << peer.status();
    peers.push_back(*std::move(peer));
  }
  const size_t before = Descriptors();
  listener->Run(absl::UnixEpoch());
  EXPECT_EQ(Descriptors(), before + 3);
  EXPECT_EQ(listener->statistics().refused, 7u);
}

TEST(ShmListenerTest, WithoutDescriptorsConnectionsAreLeftForLater) {
  const SocketPlace place;
  const auto listener = *ShmListener::Listen(place.path(), {});
  const auto peer = ConnectHandover(place.path());
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{3, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  listener->Run(absl::UnixEpoch());
  EXPECT_TRUE(listener->waiting());
  pollfd readable{listener->fd(), POLLIN, 0};
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(poll(&readable, 1, 0), 0);  // it does not keep its process awake
  listener->Run(absl::UnixEpoch());
  listener->Run(absl::UnixEpoch());
  ASSERT_TRUE(SendHandover(peer->get(), Sample(HandoverKind::kOffer), 0).ok());
  EXPECT_EQ(listener->Run(absl::UnixEpoch()).size(), 1u);
}

TEST(ShmListenerTest, APathThatCannotBeASocketIsRefused) {
  const std::string long_path = "/tmp/" + std::string(200, 'x');
  EXPECT_TRUE(absl::IsInvalidArgument(ShmListener::Listen(long_path, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(ConnectHandover(long_path).status()));
  EXPECT_TRUE(absl::IsUnavailable(ShmListener::Listen("/no/such/directory/x", {}).status()));
  EXPECT_TRUE(absl::IsUnavailable(ConnectHandover("/no/such/directory/x").status()));
}

}  // namespace
}  // namespace weir
