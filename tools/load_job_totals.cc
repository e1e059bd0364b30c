// SPDX-License-Identifier: Apache-2.0
#include "tools/load_job_totals.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "net/coordinator_client.h"

namespace weir {
namespace {

constexpr absl::Duration kCallLimit = absl::Seconds(5);
constexpr absl::Duration kPause = absl::Milliseconds(20);  // a server is heard at any moment

}  // namespace

ServerTotals SumOfServers(const v1::GetStatusReply& status) {
  ServerTotals sum;
  for (const v1::MemberStatus& member : status.members()) {
    if (member.role() != v1::MEMBER_ROLE_SERVER) continue;
    sum.tcp_sessions += member.sessions().tcp();
    sum.uds_sessions += member.sessions().uds();
    sum.shm_sessions += member.sessions().shm();
    sum.received_bytes += member.payload().received();
    sum.received_copied_bytes += member.payload().received_copied();
    sum.sent_bytes += member.payload().sent();
    sum.sent_copied_bytes += member.payload().sent_copied();
  }
  return sum;
}

bool HeardSince(const v1::GetStatusReply& status, absl::Duration age) {
  return std::all_of(status.members().begin(), status.members().end(),
                     [age](const v1::MemberStatus& member) {
                       // The coordinator rounds down: a millisecond more may have passed.
                       return member.role() != v1::MEMBER_ROLE_SERVER ||
                              absl::Milliseconds(int64_t{member.silent_ms()} + 1) < age;
                     });
}

absl::StatusOr<ServerTotals> AskServerTotals(const std::string& address, const std::string& token,
                                             absl::Duration limit) {
  CoordinatorClient coordinator(address);
  v1::GetStatusRequest request;
  request.mutable_job()->set_job_token(token);
  const absl::Time start = absl::Now();
  for (;;) {
    const absl::Duration age = absl::Now() - start;  // before it asks: never too much
    const auto status = coordinator.GetStatus(request, kCallLimit);
    if (!status.ok()) return status.status();
    if (HeardSince(*status, age)) return SumOfServers(*status);
    if (age > limit) {
      return absl::DeadlineExceededError(absl::StrCat(
          "not every server has told its totals within ", absl::FormatDuration(limit)));
    }
    absl::SleepFor(kPause);
  }
}

}  // namespace weir
