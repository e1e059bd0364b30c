// SPDX-License-Identifier: Apache-2.0
#include "launcher/member_checks.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace weir {
namespace {

constexpr size_t kNamed = 8;  // members that one sentence names

std::string DescribeTensor(const TensorShape& tensor) {
  return absl::StrCat("'", tensor.name, "' [", absl::StrJoin(tensor.shape, ", "), "]");
}

}  // namespace

std::string Shortened(absl::string_view text) {
  if (text.size() <= kMaxText) return std::string(text);
  size_t end = kMaxText;
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;  // not through a letter of UTF-8
  return absl::StrCat(text.substr(0, end), "...");
}

// A name or address from outside, fit for a sentence.
std::string Printable(absl::string_view text) { return absl::CHexEscape(text.substr(0, 255)); }

absl::Status CheckAddress(absl::string_view address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (address.size() > 255 || colon == absl::string_view::npos || colon == 0 ||
      !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 1 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("a server's address is host:port, not '", Printable(address), "'"));
  }
  const absl::string_view host = address.substr(0, colon);
  if (host == "0.0.0.0" || host == "[::]" || host == "*") {
    return absl::InvalidArgumentError(
        absl::StrCat("nobody can connect to '", Printable(address),
                     "': advertise an address that the workers can reach"));
  }
  return absl::OkStatus();
}

absl::Status CheckSocketAddress(absl::string_view uds_path, absl::string_view host_key) {
  const bool printable = std::all_of(uds_path.begin(), uds_path.end(), absl::ascii_isgraph);
  if (!uds_path.empty() &&
      (uds_path.size() > kMaxUdsPathBytes || uds_path.front() != '/' || !printable)) {
    return absl::InvalidArgumentError(
        absl::StrCat("a server's Unix socket is an absolute path of at most ", kMaxUdsPathBytes,
                     " bytes without spaces, not '", Printable(uds_path), "'"));
  }
  if (host_key.size() > kMaxHostKeyBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a host key has at most ", kMaxHostKeyBytes,
                                                   " bytes, this one ", host_key.size()));
  }
  return absl::OkStatus();
}

absl::Status CheckValues(const std::vector<NamedValue>& values) {
  if (values.size() > kMaxValues) {
    return absl::InvalidArgumentError(
        absl::StrCat(values.size(), " values reported, at most ", kMaxValues, " are kept"));
  }
  for (const NamedValue& value : values) {
    if (value.name.empty() || value.name.size() > kMaxValueNameBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("the name of a value has 1 to ", kMaxValueNameBytes, " bytes, '",
                       Printable(value.name), "' has ", value.name.size()));
    }
  }
  return absl::OkStatus();
}

std::string ListMembers(const std::vector<std::string>& names) {
  if (names.size() <= kNamed) return absl::StrJoin(names, ", ");
  return absl::StrCat(absl::StrJoin(names.begin(), names.begin() + kNamed, ", "), " and ",
                      names.size() - kNamed, " more");
}

std::string DescribeMember(const MemberStatus& member) {
  std::string text = absl::StrCat(MemberRoleName(member.role), " ", member.rank);
  if (member.incarnation == 0) return text;
  return absl::StrCat(text, " (process ", member.process_id, " on host ", member.host, ")");
}

const MemberStatus* FailedMember(const JobStatus& job) {
  for (const MemberStatus& member : job.members) {
    if (absl::StartsWith(job.failure, absl::StrCat(DescribeMember(member), " "))) return &member;
  }
  return nullptr;
}

std::string DescribeDifference(const std::vector<TensorShape>& ours,
                               const std::vector<TensorShape>& theirs) {
  for (size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
    if (ours[i].name != theirs[i].name || ours[i].shape != theirs[i].shape) {
      return absl::StrCat("tensor ", i + 1, " is ", DescribeTensor(ours[i]), " there and ",
                          DescribeTensor(theirs[i]), " here");
    }
    const InitializerSpec& a = ours[i].initializer;
    const InitializerSpec& b = theirs[i].initializer;
    if (!(a == b)) {
      return absl::StrCat("the initializer of tensor ", i + 1, ", ", DescribeTensor(ours[i]),
                          ", is of kind ", static_cast<int>(a.kind), " (", a.a, ", ", a.b,
                          ") there and of kind ", static_cast<int>(b.kind), " (", b.a, ", ", b.b,
                          ") here");
    }
  }
  if (ours.size() == theirs.size()) return "";
  const auto& longer = ours.size() > theirs.size() ? ours : theirs;
  return absl::StrCat("there are ", ours.size(), " tensors there and ", theirs.size(),
                      " here; the first that only one has is ",
                      DescribeTensor(longer[std::min(ours.size(), theirs.size())]));
}

}  // namespace weir
