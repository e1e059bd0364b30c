// SPDX-License-Identifier: Apache-2.0
#include <gflags/gflags.h>
#include <glog/logging.h>
#include <stdio.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "core/allocator.h"
#include "core/build_info.h"
#include "core/kernel_target.h"
#include "launcher/nearest_name.h"
#include "launcher/process_flags.h"
#include "launcher/verbs.h"

namespace weir {
namespace {

struct Entry {
  const char* name;   // `weir NAME`, and the link weir-NAME
  const char* about;  // null: not for people
  Verb verb;
};

constexpr Entry kVerbs[] = {
    {"run", "run the job that a topology describes, on this machine", CmdRun},
    {"validate", "check a topology and its data, start nothing", CmdValidate},
    {"coordinator", "the process that knows who is in a job (weir-coordinator)", CmdCoordinator},
    {"ps", "a server process, which holds weights (weir-ps)", CmdPs},
    {"worker", "a worker process, which trains (weir-worker)", CmdWorker},
    {"loadtest", "measure a cluster on this machine (weir-loadtest)", CmdLoadtest},
    {"sim", "simulate whole clusters with faults, and check every promise (weir-sim)", CmdSim},
    {"agent", nullptr, CmdAgent},
};

void PrintHelp() {
  printf("Weir %s: a parameter server.\n\nUsage: weir VERB [arguments]\n\nVerbs:\n", Version());
  for (const Entry& entry : kVerbs) {
    if (entry.about != nullptr) printf("  %-12s %s\n", entry.name, entry.about);
  }
  printf(
      "\n`weir VERB --help` tells its flags; `weir --version` names this build. Begin with\n  weir "
      "run examples/digits.yaml\n");
}

int UnknownVerb(const std::string& word) {
  std::vector<std::string> names;
  for (const Entry& entry : kVerbs) {
    if (entry.about != nullptr) names.push_back(entry.name);
  }
  const std::string nearest = NearestName(word, names);
  return ExitWith(
      "weir",
      absl::StrCat("unknown verb '", word, "'",
                   nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?"),
                   "  See weir --help."),
      kExitUsage);
}

// What `weir --version`, `weir-ps --version` and so on print.
int PrintVersion(const std::string& program) {
  printf("%s %s (%s)\nallocator: %s; kernels: %s\n", program.c_str(), Version(), BuildId(),
         AllocatorName().c_str(), KernelTarget());
  return 0;
}

bool IsVersionFlag(const std::vector<std::string>& words, size_t position) {
  return words.size() == position + 1 &&
         (words[position] == "--version" || words[position] == "-version");
}

int Main(int argc, char** argv) {
  const std::string path = argc > 0 ? argv[0] : "weir";
  const std::string called(absl::string_view(path).substr(path.rfind('/') + 1));
  std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  for (const Entry& entry : kVerbs) {
    if (called != absl::StrCat("weir-", entry.name)) continue;
    return IsVersionFlag(words, 0) ? PrintVersion(called) : entry.verb(called, words);
  }
  if (words.empty()) {
    PrintHelp();
    return kExitUsage;
  }
  const std::string word(absl::StripPrefix(absl::StripPrefix(words[0], "-"), "-"));
  if (word == "help" || word == "h") {
    PrintHelp();
    return 0;
  }
  if (word == "version") return PrintVersion("weir");
  for (const Entry& entry : kVerbs) {
    if (words[0] != entry.name) continue;
    if (IsVersionFlag(words, 1)) return PrintVersion(absl::StrCat("weir ", entry.name));
    return entry.verb(absl::StrCat("weir ", entry.name), {words.begin() + 1, words.end()});
  }
  return UnknownVerb(words[0]);
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  // Debian's build of Abseil, on which gRPC's own locks rest, looks for lock cycles at every lock,
  // under one lock of the whole process (docs/performance.md).
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  FLAGS_logtostderr = true;
  google::InitGoogleLogging(argc > 0 ? argv[0] : "weir");
  return weir::Main(argc, argv);
}
