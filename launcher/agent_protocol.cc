// SPDX-License-Identifier: Apache-2.0
#include "launcher/agent_protocol.h"

#include <errno.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

using Json = nlohmann::json;

std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

absl::Status Wrong(absl::string_view what) { return absl::InvalidArgumentError(what); }

// Reads members of an object; the first that is missing or of another type is the error.
class Reader {
 public:
  explicit Reader(absl::string_view line)
      : json_(Json::parse(line.begin(), line.end(), nullptr, /*allow_exceptions=*/false)) {
    if (!json_.is_object()) status_ = Wrong("not an object of JSON");
  }

  std::string String(const char* name) {
    const Json* value = Find(name);
    if (value == nullptr) return "";
    if (value->is_string()) return value->get<std::string>();
    Fail(name, "a string");
    return "";
  }
  int64_t Int(const char* name) {
    const Json* value = Find(name);
    if (value == nullptr) return 0;
    if (value->is_number_integer()) return value->get<int64_t>();
    Fail(name, "an integer");
    return 0;
  }
  bool Bool(const char* name) {
    const Json* value = Find(name);
    if (value == nullptr) return false;
    if (value->is_boolean()) return value->get<bool>();
    Fail(name, "a boolean");
    return false;
  }
  std::vector<std::string> Strings(const char* name) {
    std::vector<std::string> strings;
    const Json* value = Find(name);
    if (value == nullptr) return strings;
    if (!value->is_array()) Fail(name, "a list of strings");
    for (const Json& item : *value) {
      if (!item.is_string()) {
        Fail(name, "a list of strings");
        break;
      }
      strings.push_back(item.get<std::string>());
    }
    return strings;
  }
  std::vector<std::pair<std::string, std::string>> Pairs(const char* name) {
    std::vector<std::pair<std::string, std::string>> pairs;
    const Json* value = Find(name);
    if (value == nullptr) return pairs;
    if (!value->is_object()) {
      Fail(name, "an object of strings");
      return pairs;
    }
    for (const auto& [key, item] : value->items()) {
      if (!item.is_string()) {
        Fail(name, "an object of strings");
        break;
      }
      pairs.emplace_back(key, item.get<std::string>());
    }
    return pairs;
  }
  bool Has(const char* name) const { return json_.is_object() && json_.contains(name); }
  void Fail(const char* name, const char* wanted) {
    status_.Update(Wrong(absl::StrCat("'", name, "' must be ", wanted)));
  }
  const absl::Status& status() const { return status_; }

 private:
  const Json* Find(const char* name) {
    if (!status_.ok()) return nullptr;
    auto it = json_.find(name);
    if (it != json_.end()) return &*it;
    status_ = Wrong(absl::StrCat("'", name, "' is missing"));
    return nullptr;
  }

  Json json_;
  absl::Status status_;
};

}  // namespace

std::string EncodeAgentCommand(const AgentCommand& command) {
  switch (command.kind) {
    case AgentCommand::Kind::kStart: {
      Json env = Json::object();
      for (const auto& [key, value] : command.env) env[key] = value;
      return Line({{"do", "start"},
                   {"name", command.name},
                   {"argv", command.argv},
                   {"env", env},
                   {"directory", command.directory},
                   {"log", command.log_path},
                   {"ready", command.wants_ready}});
    }
    case AgentCommand::Kind::kSignal:
      return Line({{"do", "signal"}, {"name", command.name}, {"signal", command.signal}});
    case AgentCommand::Kind::kShutdown:
      break;
  }
  return Line({{"do", "shutdown"}, {"grace_ms", absl::ToInt64Milliseconds(command.grace)}});
}

std::string EncodeAgentEvent(const AgentEvent& event) {
  switch (event.kind) {
    case AgentEvent::Kind::kStarted:
      return Line({{"event", "started"}, {"name", event.name}, {"pid", event.pid}});
    case AgentEvent::Kind::kReady:
      return Line({{"event", "ready"}, {"name", event.name}, {"line", event.text}});
    case AgentEvent::Kind::kExited:
      return Line({{"event", "exited"},
                   {"name", event.name},
                   {"pid", event.pid},
                   {event.end.by_signal ? "signal" : "exit", event.end.number}});
    case AgentEvent::Kind::kFailed:
      break;
  }
  return Line({{"event", "failed"}, {"name", event.name}, {"reason", event.text}});
}

absl::StatusOr<AgentCommand> DecodeAgentCommand(absl::string_view line) {
  Reader reader(line);
  AgentCommand command;
  const std::string what = reader.String("do");
  if (what == "start") {
    command.kind = AgentCommand::Kind::kStart;
    command.name = reader.String("name");
    command.argv = reader.Strings("argv");
    command.env = reader.Pairs("env");
    command.directory = reader.String("directory");
    command.log_path = reader.String("log");
    command.wants_ready = reader.Bool("ready");
  } else if (what == "signal") {
    command.kind = AgentCommand::Kind::kSignal;
    command.name = reader.String("name");
    const int64_t number = reader.Int("signal");
    if (reader.status().ok() && (number < 1 || number > 64)) reader.Fail("signal", "1 to 64");
    command.signal = static_cast<int>(number);
  } else if (what == "shutdown") {
    const int64_t grace_ms = reader.Int("grace_ms");
    if (reader.status().ok() && (grace_ms < 0 || grace_ms > 3600000)) {
      reader.Fail("grace_ms", "0 to 3,600,000");
    }
    command.grace = absl::Milliseconds(grace_ms);
  } else {
    reader.Fail("do", "start, signal or shutdown");
  }
  if (!reader.status().ok()) return reader.status();
  return command;
}

absl::StatusOr<AgentEvent> DecodeAgentEvent(absl::string_view line) {
  Reader reader(line);
  AgentEvent event;
  const std::string what = reader.String("event");
  event.name = reader.String("name");
  if (what == "started") {
    event.kind = AgentEvent::Kind::kStarted;
    event.pid = static_cast<int>(reader.Int("pid"));
  } else if (what == "ready") {
    event.kind = AgentEvent::Kind::kReady;
    event.text = reader.String("line");
  } else if (what == "exited") {
    event.kind = AgentEvent::Kind::kExited;
    event.pid = static_cast<int>(reader.Int("pid"));
    event.end.by_signal = reader.Has("signal");
    event.end.number = static_cast<int>(reader.Int(event.end.by_signal ? "signal" : "exit"));
  } else if (what == "failed") {
    event.kind = AgentEvent::Kind::kFailed;
    event.text = reader.String("reason");
  } else {
    reader.Fail("event", "started, ready, exited or failed");
  }
  if (!reader.status().ok()) return reader.status();
  return event;
}

bool LineReader::ReadFrom(int fd) {
  char buffer[4096];
  for (;;) {
    const ssize_t size = read(fd, buffer, sizeof(buffer));
    if (size > 0) {
      if (!Add(absl::string_view(buffer, size))) return false;
    } else if (size < 0 && errno == EINTR) {
      continue;
    } else {
      return size < 0 && errno == EAGAIN;
    }
  }
}

bool LineReader::Add(absl::string_view bytes) {
  bytes_.append(bytes.data(), bytes.size());
  const size_t newline = bytes_.rfind('\n');
  const size_t unfinished = bytes_.size() - (newline == std::string::npos ? begin_ : newline + 1);
  if (unfinished <= limit_) return true;
  bytes_.resize(bytes_.size() - unfinished);
  return false;
}

bool LineReader::Next(std::string* line) {
  const size_t newline = bytes_.find('\n', begin_);
  if (newline == std::string::npos) {
    bytes_.erase(0, begin_);
    begin_ = 0;
    return false;
  }
  *line = bytes_.substr(begin_, newline - begin_);
  begin_ = newline + 1;
  return true;
}

}  // namespace weir
