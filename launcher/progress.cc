// SPDX-License-Identifier: Apache-2.0
#include "launcher/progress.h"

#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "launcher/member_checks.h"

namespace weir {
namespace {

constexpr absl::Duration kStalled =
    absl::Seconds(2);  // no step for this long: say whom it waits for

// Of all pushes that were judged, how many were too old.
double StaleShare(const PushCounts& pushes) {
  const double judged = static_cast<double>(pushes.applied + pushes.stale);
  return judged == 0 ? 0 : 100.0 * static_cast<double>(pushes.stale) / judged;
}

// The mean over the workers that report a value of that name; nothing when none does.
std::optional<double> MeanOf(const JobStatus& job, const char* name) {
  int workers = 0;
  for (const MemberStatus& member : job.members) {
    for (const NamedValue& value : member.values) {
      if (member.role == MemberRole::kWorker && value.name == name) ++workers;
    }
  }
  if (workers == 0) return std::nullopt;
  return SumOfValues(job, name) / workers;
}

// "4 by uds, 2 by tcp (sessions)".
std::string SessionsText(const SessionCounts& sessions) {
  std::vector<std::string> parts;
  const auto add = [&](uint64_t count, const char* transport) {
    if (count > 0) parts.push_back(absl::StrCat(count, " by ", transport));
  };
  add(sessions.shm, "shm");
  add(sessions.uds, "uds");
  add(sessions.tcp, "tcp");
  return parts.empty() ? "none" : absl::StrCat(absl::StrJoin(parts, ", "), " (sessions)");
}

// Whom the members say they wait for.
std::string WaitsFor(const JobStatus& job) {
  for (const MemberStatus& member : job.members) {
    if (!member.waits_for.empty() && member.state == MemberState::kServing) {
      return absl::StrCat(ProcessName(member), " waits for ", member.waits_for);
    }
  }
  for (const MemberStatus& member : job.members) {
    if (!member.waits_for.empty())
      return absl::StrCat(ProcessName(member), " waits for ", member.waits_for);
  }
  return "";
}

}  // namespace

std::string ProcessName(const MemberStatus& member) {
  return absl::StrCat(member.role == MemberRole::kServer ? "ps-" : "worker-", member.rank);
}

std::string MissingMembers(const JobStatus& job) {
  if (job.layout_ready) return "";
  std::vector<std::string> missing;
  for (const MemberStatus& member : job.members) {
    if (member.state == MemberState::kExpected)
      missing.push_back(absl::StrCat(ProcessName(member), " to join"));
  }
  if (missing.empty()) {
    for (const MemberStatus& member : job.members) {
      if (member.role == MemberRole::kServer && member.state != MemberState::kServing &&
          !member.waits_for.empty()) {
        missing.push_back(
            absl::StrCat(ProcessName(member), " (which waits for ", member.waits_for, ")"));
      }
    }
    if (missing.empty())
      missing.push_back("a worker to declare the model and the servers to fill it");
  }
  return absl::StrCat("waits for ", ListMembers(missing));
}

std::string Progress::Line(const JobStatus& job, absl::Time now) {
  const std::string missing = MissingMembers(job);
  if (!missing.empty()) return missing;
  const auto examples = static_cast<double>(TotalPushes(job).examples);
  if (since_ == absl::InfinitePast()) {
    since_ = now;
    examples_ = examples;
  } else if (now - since_ >= kWindow || (rate_ == 0 && now > since_)) {
    rate_ = std::max(0.0, examples - examples_) / absl::ToDoubleSeconds(now - since_);
    if (now - since_ >= kWindow) {
      since_ = now;
      examples_ = examples;
    }
  }
  if (job.step != step_ || step_at_ == absl::InfinitePast()) {
    step_ = job.step;
    step_at_ = now;
  }
  std::string line =
      absl::StrCat("step ", job.step, "/", job.steps == 0 ? "?" : absl::StrCat(job.steps));
  if (const std::optional<double> loss = MeanOf(job, kLossValue))
    absl::StrAppendFormat(&line, "  loss %.4f", *loss);
  const std::optional<double> ahead = MeanOf(job, kClocksAheadValue);
  absl::StrAppendFormat(&line, "  %.0f examples/s  %s %.1f  stale %.1f%%", rate_,
                        ahead.has_value() ? "ahead" : "staleness",
                        ahead.value_or(MeanOf(job, kStalenessValue).value_or(0)),
                        StaleShare(TotalPushes(job)));
  const std::string waits = now - step_at_ >= kStalled ? WaitsFor(job) : "";
  if (!waits.empty()) absl::StrAppend(&line, "  ", waits);
  return line;
}

std::string FinalTable(const RunSummary& summary, const std::string& run_dir) {
  const JobStatus& job = summary.job;
  const PushCounts pushes = TotalPushes(job);
  std::vector<std::pair<std::string, std::string>> rows;
  rows.emplace_back("status", RunStatusName(summary.status));
  rows.emplace_back("steps", absl::StrCat(job.step));
  rows.emplace_back("wall time", absl::StrFormat("%.1f s", absl::ToDoubleSeconds(summary.wall)));
  if (const std::optional<double> loss = MeanOf(job, kLossValue))
    rows.emplace_back("train loss", absl::StrFormat("%.4f", *loss));
  if (const std::optional<double> accuracy = TestAccuracy(summary)) {
    rows.emplace_back("test accuracy", absl::StrFormat("%.4f", *accuracy));
  }
  rows.emplace_back("pushes", absl::StrCat(pushes.applied, " applied, ", pushes.stale, " stale, ",
                                           pushes.duplicate, " duplicate, ", pushes.invalid,
                                           " invalid (slices)"));
  rows.emplace_back("transports", SessionsText(TotalSessions(job)));
  if (summary.weights_sha256.has_value())
    rows.emplace_back("weights sha256", *summary.weights_sha256);
  rows.emplace_back("results", run_dir);
  std::string table;
  for (const auto& [name, value] : rows) absl::StrAppendFormat(&table, "  %-15s %s\n", name, value);
  return table;
}

std::string FailureReport(const RunFailure& failure, const std::string& last_lines) {
  std::string report = absl::StrCat("\nThe run failed: ", failure.name, " (role ", failure.role,
                                    ", rank ", failure.rank, ", host ", failure.host);
  if (failure.process_id != 0) absl::StrAppend(&report, ", process ", failure.process_id);
  absl::StrAppend(&report, "): ", failure.reason, "\n");
  if (!last_lines.empty()) {
    absl::StrAppend(&report, "Last lines of its log:\n  ",
                    absl::StrReplaceAll(last_lines, {{"\n", "\n  "}}), "\n");
  }
  if (!failure.log_path.empty()) absl::StrAppend(&report, "Its log: ", failure.log_path, "\n");
  return report;
}

}  // namespace weir
