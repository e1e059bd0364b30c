// SPDX-License-Identifier: Apache-2.0
#include "tools/kernel_counters.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace weir {
namespace {

constexpr size_t kMaxSnmpBytes = size_t{1} << 16;

absl::StatusOr<std::string> ReadAll(const char* path) {
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, path);
  std::string text(kMaxSnmpBytes, '\0');
  size_t size = 0;
  ssize_t got = 0;
  while (size < text.size() && (got = read(fd, &text[size], text.size() - size)) > 0)
    size += static_cast<size_t>(got);
  const int error = errno;
  close(fd);
  if (got < 0) return absl::ErrnoToStatus(error, path);
  text.resize(size);
  return text;
}

}  // namespace

TcpCounts Since(const TcpCounts& before, const TcpCounts& after) {
  return {after.active_opens - before.active_opens, after.passive_opens - before.passive_opens,
          after.retransmitted - before.retransmitted};
}

absl::StatusOr<TcpCounts> ParseTcpCounts(absl::string_view snmp) {
  std::vector<absl::string_view> names;
  std::vector<absl::string_view> values;
  for (absl::string_view line : absl::StrSplit(snmp, '\n')) {
    if (line.substr(0, 5) != "Tcp: ") continue;
    (names.empty() ? names : values) = absl::StrSplit(line, ' ', absl::SkipEmpty());
  }
  TcpCounts counts;
  const struct {
    absl::string_view name;
    uint64_t* into;
  } wanted[] = {{"ActiveOpens", &counts.active_opens},
                {"PassiveOpens", &counts.passive_opens},
                {"RetransSegs", &counts.retransmitted}};
  for (const auto& column : wanted) {
    const auto at =
        static_cast<size_t>(std::find(names.begin(), names.end(), column.name) - names.begin());
    if (at >= names.size() || at >= values.size() || !absl::SimpleAtoi(values[at], column.into)) {
      return absl::DataLossError(absl::StrCat("/proc/net/snmp: no number for Tcp ", column.name));
    }
  }
  return counts;
}

absl::StatusOr<TcpCounts> ReadTcpCounts() {
  const auto text = ReadAll("/proc/thread-self/net/snmp");
  if (!text.ok()) return text.status();
  return ParseTcpCounts(*text);
}

absl::StatusOr<TcpCounts> ReadTcpCountsOf(const std::vector<pid_t>& others) {
  auto sum = ReadTcpCounts();
  for (const pid_t pid : others) {
    if (!sum.ok()) break;
    const auto text = ReadAll(absl::StrCat("/proc/", pid, "/net/snmp").c_str());
    if (!text.ok()) return text.status();
    const auto one = ParseTcpCounts(*text);
    if (!one.ok()) return one.status();
    sum->active_opens += one->active_opens;
    sum->passive_opens += one->passive_opens;
    sum->retransmitted += one->retransmitted;
  }
  return sum;
}

const char* NetworkScopeName(NetworkScope scope) {
  return scope == NetworkScope::kPrivate ? "private" : "shared";
}

double ConnectionReuse(const TcpCounts& opened, uint64_t exchanges) {
  if (exchanges == 0) return 0;
  const uint64_t connections = std::max(opened.active_opens, opened.passive_opens);
  return std::max(0.0, 1 - static_cast<double>(connections) / static_cast<double>(exchanges));
}

}  // namespace weir
