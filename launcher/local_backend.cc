// SPDX-License-Identifier: Apache-2.0
#include "launcher/local_backend.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace weir {
namespace {

std::string Quoted(const std::string& word) {
  bool plain = !word.empty();
  for (char c : word)
    plain = plain && (absl::ascii_isalnum(c) ||
                      absl::string_view("-_./:=,@+").find(c) != absl::string_view::npos);
  return plain ? word : absl::StrCat("'", absl::StrReplaceAll(word, {{"'", "'\\''"}}), "'");
}

}  // namespace

AgentCommand StartCommand(const PlannedProcess& process, const RunPlace& place) {
  AgentCommand command;
  command.kind = AgentCommand::Kind::kStart;
  command.name = process.name;
  command.directory = process.directory;
  command.log_path = absl::StrCat(place.run_dir, "/", process.name, ".log");
  command.wants_ready = process.role == ProcessRole::kCoordinator;

  command.argv = {process.is_weirs_own ? absl::StrCat(place.program_dir, "/", process.program)
                                       : process.program};
  if (process.role == ProcessRole::kCoordinator) {
    command.argv.push_back(absl::StrCat("--topology=", place.run_dir, "/topology.yaml"));
    command.argv.push_back("--port=0");
  } else if (process.is_weirs_own) {
    command.argv.push_back(absl::StrCat("--coordinator=", place.coordinator));
  }
  command.argv.insert(command.argv.end(), process.args.begin(), process.args.end());

  command.env = {{"WEIR_ROLE", std::string(RoleName(process.role))},
                 {"WEIR_RANK", absl::StrCat(process.rank)},
                 {"WEIR_RUN_DIR", place.run_dir},
                 {"WEIR_TOKEN_FILE", place.token_file}};
  if (process.role != ProcessRole::kCoordinator)
    command.env.emplace_back("WEIR_COORDINATOR", place.coordinator);
  if (!place.threads_are_set) command.env.emplace_back("OMP_NUM_THREADS", "1");
  return command;
}

std::string ShellLine(const AgentCommand& command) {
  std::string line;
  if (!command.directory.empty()) absl::StrAppend(&line, "cd ", Quoted(command.directory), " && ");
  for (const auto& [name, value] : command.env)
    absl::StrAppend(&line, name, "=", value.empty() ? "" : Quoted(value), " ");
  for (size_t i = 0; i < command.argv.size(); ++i)
    absl::StrAppend(&line, i == 0 ? "" : " ", Quoted(command.argv[i]));
  return absl::StrCat(line, " >>", Quoted(command.log_path), " 2>&1");
}

}  // namespace weir
