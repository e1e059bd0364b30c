// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_MEMBER_CHECKS_H_
#define WEIR_LAUNCHER_MEMBER_CHECKS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "core/layout.h"
#include "launcher/member.h"

namespace weir {

constexpr size_t kMaxText = 1024;  // bytes of what a member says in words

// What a member says in words, at most kMaxText bytes of it.
std::string Shortened(absl::string_view text);

// A name or address from outside, fit for a sentence: at most 255 bytes, escaped.
std::string Printable(absl::string_view text);

// INVALID_ARGUMENT: not host:port, or a host that nobody can connect to (0.0.0.0, [::]).
absl::Status CheckAddress(absl::string_view address);

// INVALID_ARGUMENT: not the absolute path of a socket (empty: none), or longer than core/layout.h
// allows.
absl::Status CheckSocketAddress(absl::string_view uds_path, absl::string_view host_key);

// INVALID_ARGUMENT: more values or longer names than member.h allows.
absl::Status CheckValues(const std::vector<NamedValue>& values);

// "worker 2 (process 4711 on host a)"; "server 0" before it joined.
std::string DescribeMember(const MemberStatus& member);

// The member that the job's failure names; null: the job has not failed, or nobody is named.
const MemberStatus* FailedMember(const JobStatus& job);

// "a, b, c"; of more than 8 the first 8 "and 3 more".
std::string ListMembers(const std::vector<std::string>& names);

// Says in one sentence how `theirs` differs from `ours`, by tensor; empty when they are the same.
std::string DescribeDifference(const std::vector<TensorShape>& ours,
                               const std::vector<TensorShape>& theirs);

}  // namespace weir

#endif  // WEIR_LAUNCHER_MEMBER_CHECKS_H_
