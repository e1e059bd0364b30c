// SPDX-License-Identifier: Apache-2.0
#include "launcher/summary.h"

#include <cmath>
#include <nlohmann/json.hpp>

namespace weir {
namespace {

using Json = nlohmann::ordered_json;

Json NumberOrNull(std::optional<double> value) {
  if (!value.has_value() || !std::isfinite(*value)) return nullptr;
  return *value;
}

uint64_t Count(double value) {
  return std::isfinite(value) && value > 0 ? static_cast<uint64_t>(std::llround(value)) : 0;
}

const char* ModeName(uint32_t mode) {
  switch (mode) {
    case 1:
      return "bsp";
    case 2:
      return "asp";
    case 3:
      return "ssp";
    default:
      return "unknown";
  }
}

// The mean of what the workers last said.
std::optional<double> MeanValue(const JobStatus& job, const std::string& name) {
  double sum = 0;
  int workers = 0;
  for (const MemberStatus& member : job.members) {
    for (const NamedValue& value : member.values) {
      if (member.role != MemberRole::kWorker || value.name != name) continue;
      sum += value.value;
      ++workers;
    }
  }
  if (workers == 0) return std::nullopt;
  return sum / workers;
}

uint64_t RestartsOf(const JobStatus& job, MemberRole role) {
  uint64_t restarts = 0;
  for (const MemberStatus& member : job.members) {
    if (member.role == role) restarts += member.restarts;
  }
  return restarts;
}

}  // namespace

const char* RunStatusName(RunSummary::Status status) {
  switch (status) {
    case RunSummary::Status::kOk:
      return "ok";
    case RunSummary::Status::kInterrupted:
      return "interrupted";
    case RunSummary::Status::kFailed:
      break;
  }
  return "failed";
}

PushCounts TotalPushes(const JobStatus& job) {
  PushCounts total;
  for (const MemberStatus& member : job.members) {
    if (member.role == MemberRole::kServer) total.Add(member.pushes);
  }
  return total;
}

SessionCounts TotalSessions(const JobStatus& job) {
  SessionCounts total;
  for (const MemberStatus& member : job.members) {
    if (member.role == MemberRole::kServer) total.Add(member.sessions);
  }
  return total;
}

PayloadCounts TotalPayload(const JobStatus& job) {
  PayloadCounts total;
  for (const MemberStatus& member : job.members) {
    if (member.role == MemberRole::kServer) total.Add(member.payload);
  }
  return total;
}

std::optional<double> FirstValue(const JobStatus& job, const std::string& name) {
  for (const MemberStatus& member : job.members) {
    if (member.role != MemberRole::kWorker) continue;
    for (const NamedValue& value : member.values) {
      if (value.name == name) return value.value;
    }
  }
  return std::nullopt;
}

std::optional<double> TestAccuracy(const RunSummary& summary) {
  return summary.test_accuracy.has_value() ? summary.test_accuracy
                                           : FirstValue(summary.job, kAccuracyValue);
}

double SumOfValues(const JobStatus& job, const std::string& name) {
  double sum = 0;
  for (const MemberStatus& member : job.members) {
    if (member.role != MemberRole::kWorker) continue;
    for (const NamedValue& value : member.values) {
      if (value.name == name) sum += value.value;
    }
  }
  return sum;
}

std::string SummaryJson(const RunSummary& summary) {
  const JobStatus& job = summary.job;
  const PushCounts pushes = TotalPushes(job);
  Json json;
  json["status"] = RunStatusName(summary.status);
  json["mode"] = ModeName(job.settings.mode);
  json["steps"] = job.step;
  json["wall_seconds"] = std::round(absl::ToDoubleSeconds(summary.wall) * 1000) / 1000;
  json["train_loss"] = NumberOrNull(MeanValue(job, kLossValue));
  json["test_accuracy"] = NumberOrNull(TestAccuracy(summary));
  json["weights_sha256"] =
      summary.weights_sha256.has_value() ? Json(*summary.weights_sha256) : Json();
  json["pushes"] = {{"applied", pushes.applied},     {"stale", pushes.stale},
                    {"duplicate", pushes.duplicate}, {"overloaded", pushes.overloaded},
                    {"moved", pushes.moved},         {"invalid", pushes.invalid},
                    {"fenced", pushes.fenced}};
  const SessionCounts sessions = TotalSessions(job);
  json["transports"] = {{"tcp", sessions.tcp}, {"uds", sessions.uds}, {"shm", sessions.shm}};
  const PayloadCounts payload = TotalPayload(job);
  json["payload_bytes"] = {{"received", payload.received},
                           {"received_copied", payload.received_copied},
                           {"sent", payload.sent},
                           {"sent_copied", payload.sent_copied}};
  json["slices_pushed"] = Count(SumOfValues(job, kSlicesValue));
  json["examples"] = {{"counted", pushes.examples},
                      {"recomputed", Count(SumOfValues(job, kRecomputedValue))},
                      {"dropped", 0}};
  json["restarts"] = {{"workers", RestartsOf(job, MemberRole::kWorker)},
                      {"servers", RestartsOf(job, MemberRole::kServer)}};
  json["rewinds"] = 0;
  json["failure"] = nullptr;
  if (summary.failure.has_value()) {
    const RunFailure& failure = *summary.failure;
    json["failure"] = {{"role", failure.role},          {"rank", failure.rank},
                       {"host", failure.host},          {"exit", failure.exit},
                       {"process", failure.process_id}, {"reason", failure.reason}};
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace weir
