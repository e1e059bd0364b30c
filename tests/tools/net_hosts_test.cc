// SPDX-License-Identifier: Apache-2.0
#include "tools/net_hosts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/private_network.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

TEST(LinkRateTest, NumberAndUnitAreBitsASecond) {
  EXPECT_EQ(*ParseLinkRate("1gbit"), 1000000000u);
  EXPECT_EQ(*ParseLinkRate("2.5gbit"), 2500000000u);
  EXPECT_EQ(*ParseLinkRate("100mbit"), 100000000u);
  EXPECT_EQ(*ParseLinkRate("8000kbit"), 8000000u);
}

TEST(LinkRateTest, WhatIsNoRateOrOutOfLimitsIsRefusedWithTheLimits) {
  for (const char* text : {"", "gbit", "1", "1GB", "-1gbit", "1e9gbit", "nangbit", "1 gbit",
                           "0gbit", "999kbit", "101gbit", "1gbitx", "1.2.3gbit"}) {
    const auto rate = ParseLinkRate(text);
    ASSERT_FALSE(rate.ok()) << text;
    EXPECT_THAT(std::string(rate.status().message()), HasSubstr("from 1mbit to 100gbit")) << text;
  }
}

TEST(NetHostsTest, WorkersAndServersOfEqualNumberShareHostsInPairs) {
  EXPECT_EQ(HostOfProcess(0, 4), 0u);
  EXPECT_EQ(HostOfProcess(3, 4), 3u);
  EXPECT_EQ(HostOfProcess(4, 4), 0u);
  EXPECT_EQ(HostOfProcess(7, 8), 7u);
}

// What `body` says about `count` hosts made for it: 0 is good.
int WithHosts(uint32_t count, uint64_t rate_bits, const std::function<int(const NetHosts&)>& body) {
  const auto code = RunInPrivateNetwork([&] {
    const auto hosts = NetHosts::Make({count, rate_bits});
    if (!hosts.ok()) std::cerr << hosts.status() << std::endl;
    return hosts.ok() ? body(**hosts) : 99;
  });
  return code.ok() ? *code : 98;
}

TEST(NetHostsTest, NoHostsOrTooManyAreRefused) {
  EXPECT_EQ(NetHosts::Make({0, 0}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(NetHosts::Make({kMaxNetHosts + 1, 0}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(NetHostsTest, CommandBehindThePrefixRunsOnTheHostWithItsAddressAlone) {
  EXPECT_EQ(
      WithHosts(2, 0,
                [](const NetHosts& hosts) {
                  const std::string command = absl::StrCat(
                      absl::StrJoin(hosts.prefix(1), " "),
                      " ip -4 -o address show | grep -c 'eth0 *inet 10.87.0.2/24' | grep -qx 1");
                  return std::system(command.c_str()) == 0 ? 0 : 1;
                }),
      0);
}

TEST(NetHostsTest, ConnectionBetweenTwoHostsCarriesBytesBothWays) {
  EXPECT_EQ(WithHosts(3, 1000000000,
                      [](const NetHosts& hosts) {
                        int a = -1, b = -1;
                        const absl::Status status = hosts.Connect(0, 2, &a, &b);
                        if (!status.ok()) std::cerr << status << std::endl;
                        if (!status.ok()) return 1;
                        char byte = 0;
                        const bool there = send(a, "x", 1, 0) == 1 && recv(b, &byte, 1, 0) == 1;
                        const bool back = send(b, "y", 1, 0) == 1 && recv(a, &byte, 1, 0) == 1;
                        close(a);
                        close(b);
                        return there && back && byte == 'y' ? 0 : 2;
                      }),
            0);
}

TEST(NetHostsTest, BothEndsOfALinkAreLimitedToItsRate) {
  EXPECT_EQ(WithHosts(1, 250000000,
                      [](const NetHosts& hosts) {
                        const std::string inside = absl::StrJoin(hosts.prefix(0), " ");
                        const std::string command =
                            "tc qdisc show dev port0 root | grep -q 'tbf.* rate 250Mbit' && " +
                            inside + " tc qdisc show dev eth0 root | grep -q 'tbf.* rate 250Mbit'";
                        return std::system(command.c_str()) == 0 ? 0 : 1;
                      }),
            0);
}

TEST(NetHostsTest, WithoutTheRightToMakeInterfacesItSaysSo) {
  const auto hosts = RunInPrivateNetwork([] {
    if (setuid(65534) != 0) return 0;  // a user namespace of one user: nobody to become
    const auto made = NetHosts::Make({1, 0});
    if (made.status().code() != absl::StatusCode::kUnavailable) return 1;
    return absl::StrContains(made.status().message(), "iproute2") ? 0 : 2;
  });
  ASSERT_TRUE(hosts.ok()) << hosts.status();
  EXPECT_EQ(*hosts, 0);
}

}  // namespace
}  // namespace weir
