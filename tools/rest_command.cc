// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_command.h"

#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <iostream>
#include <optional>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "launcher/run_directory.h"
#include "tools/load_fingerprint.h"
#include "tools/load_rows.h"
#include "tools/private_network.h"
#include "tools/rest_table.h"

namespace weir {
namespace {

int Complain(const absl::Status& status, int code) {
  std::cerr << "weir-loadtest: " << status.message() << "\n";
  return code;
}

absl::Status Print(const CompareOptions& options, const std::vector<CompareRow>& rows,
                   const std::optional<Roofline>& roofline, NetworkScope scope,
                   const std::string& json_path) {
  const auto profile = MakeLoadProfile(options.profile);
  if (!profile.ok()) return profile.status();
  const nlohmann::json machine = MachineFingerprint();
  std::cout << FingerprintLine(machine) << "\n\n" << FormatComparison(*profile, rows, scope);
  if (roofline) std::cout << "\n" << FormatSeedTable(*profile, rows, *roofline);
  std::cout << std::flush;
  if (json_path.empty()) return absl::OkStatus();
  nlohmann::json json = ToJson(rows, scope);
  json["machine"] = machine;
  return WriteFile(json_path, json.dump(2) + "\n", 0644);
}

int Compare(const CompareOptions& options, bool seed, NetworkScope scope,
            const std::string& json_path) {
  const auto programs = ProgramDirectory();
  if (!programs.ok()) return Complain(programs.status(), 1);
  std::error_code error;
  std::string directory =
      (std::filesystem::temp_directory_path(error) / "weir-compare-XXXXXX").string();
  if (error || mkdtemp(directory.data()) == nullptr) {
    return Complain(absl::UnavailableError("no directory for temporary files: see TMPDIR"), 1);
  }
  const auto remove = absl::MakeCleanup([&directory] {
    std::error_code ignored;  // nothing is left to tell
    std::filesystem::remove_all(directory, ignored);
  });
  std::optional<Roofline> roofline;
  if (seed) {
    auto measured = MeasureRoofline({});
    if (!measured.ok()) return Complain(measured.status(), 1);
    roofline = *measured;
  }
  CompareOptions spoken = options;
  spoken.say = [start = absl::Now()](const std::string& line) {
    std::cerr << absl::StrFormat("%6.1f s  %s\n", absl::ToDoubleSeconds(absl::Now() - start), line);
  };
  int interrupted = 0;
  const auto rows = RunComparison(spoken, *programs, directory, &interrupted);
  if (!rows.ok()) return Complain(rows.status(), interrupted == 0 ? 1 : 128 + interrupted);
  if (absl::Status status = Print(options, *rows, roofline, scope, json_path); !status.ok())
    return Complain(status, 1);
  uint64_t wrong = 0;
  for (const CompareRow& row : *rows) wrong += row.wrong;
  if (wrong == 0) return 0;
  return Complain(absl::DataLossError(absl::StrCat(wrong, " answers were wrong")), 1);
}

}  // namespace

int RunCompareCommand(const CompareOptions& options, bool seed, const std::string& json_path) {
  const auto code = RunInPrivateNetwork(
      [&] { return Compare(options, seed, NetworkScope::kPrivate, json_path); });
  if (code.ok()) return *code;
  return Compare(options, seed, NetworkScope::kShared, json_path);
}

}  // namespace weir
