// SPDX-License-Identifier: Apache-2.0
#include "tools/kernel_counters.h"

#include <sys/socket.h>
#include <unistd.h>

#include "tools/private_network.h"
#include "tools/rest_connection.h"

namespace weir {
namespace {

constexpr char kSnmp[] =
    "Ip: Forwarding DefaultTTL\nIp: 1 64\n"
    "Tcp: RtoAlgorithm ActiveOpens PassiveOpens AttemptFails RetransSegs\n"
    "Tcp: 1 31 17 0 5\n"
    "Udp: InDatagrams\nUdp: 4\n";

TEST(KernelCountersTest, CountsAreReadByTheirColumnsNames) {
  const auto counts = ParseTcpCounts(kSnmp);
  ASSERT_TRUE(counts.ok()) << counts.status();
  EXPECT_EQ(*counts, (TcpCounts{31, 17, 5}));
}

TEST(KernelCountersTest, TextWithoutTheColumnsIsDataLoss) {
  for (const char* text : {"", "Tcp: ActiveOpens\n", "Tcp: ActiveOpens\nTcp: 3\n",
                           "Tcp: ActiveOpens PassiveOpens RetransSegs\nTcp: 3 x 4\n",
                           "Tcp: ActiveOpens PassiveOpens RetransSegs\nTcp: 3 4\n"}) {
    EXPECT_EQ(ParseTcpCounts(text).status().code(), absl::StatusCode::kDataLoss) << text;
  }
}

TEST(KernelCountersTest, ReuseIsOneLessTheConnectionsOfTheBusierSideForEachExchange) {
  EXPECT_DOUBLE_EQ(ConnectionReuse({2, 5, 0}, 1000), 0.995);
  EXPECT_DOUBLE_EQ(ConnectionReuse({0, 0, 0}, 10), 1);
  EXPECT_DOUBLE_EQ(ConnectionReuse({50, 20, 0}, 10), 0);
  EXPECT_DOUBLE_EQ(ConnectionReuse({1, 1, 0}, 0), 0);
}

// Opens one connection between two counts. 0: all is well.
int CountOneConnection(bool alone) {
  const auto before = ReadTcpCounts();
  if (!before.ok() || (alone && !(*before == TcpCounts{}))) return 2;
  const auto listener = ListenOnLoopback();
  if (!listener.ok()) return 3;
  const auto client = RestConnection::Connect(listener->port);
  const int accepted = client.ok() ? accept(listener->fd, nullptr, nullptr) : -1;
  if (accepted < 0) return 4;
  const auto after = ReadTcpCounts();
  if (!after.ok()) return 5;
  const TcpCounts opened = Since(*before, *after);
  close(accepted);
  close(listener->fd);
  if (opened.active_opens < 1 || opened.passive_opens < 1) return 6;
  return !alone || (opened.active_opens == 1 && opened.passive_opens == 1) ? 0 : 7;
}

TEST(KernelCountersTest, AConnectionIsCountedOnBothSidesWhateverOthersOpen) {
  EXPECT_EQ(CountOneConnection(/*alone=*/false), 0);
}

TEST(KernelCountersTest, OtherNamespacesAreAddedAndOneThatIsGoneIsNotFound) {
  const auto one = ReadTcpCountsOf({});
  const auto two = ReadTcpCountsOf({getpid()});
  ASSERT_TRUE(one.ok() && two.ok()) << one.status() << two.status();
  EXPECT_GE(two->active_opens, 2 * one->active_opens);  // others open connections meanwhile
  EXPECT_GE(two->passive_opens, 2 * one->passive_opens);
  const pid_t none = 0x7fffffff;  // beyond any process's
  EXPECT_EQ(ReadTcpCountsOf({none}).status().code(), absl::StatusCode::kNotFound);
}

TEST(KernelCountersTest, PrivateNetworkCountsNothingButItsOwnConnectionsOrIsRefusedByName) {
  const auto code = RunInPrivateNetwork([] { return CountOneConnection(/*alone=*/true); });
  if (code.ok()) {
    EXPECT_EQ(*code, 0);
  } else {  // a system without network namespaces, where counts are shared
    EXPECT_EQ(code.status().code(), absl::StatusCode::kUnavailable) << code.status();
    EXPECT_FALSE(code.status().message().empty());
  }
}

}  // namespace
}  // namespace weir
