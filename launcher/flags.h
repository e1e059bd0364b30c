// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_LAUNCHER_FLAGS_H_
#define WEIR_LAUNCHER_FLAGS_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace weir {

// The command line of one verb, over gflags.
//
// gflags defines the flags, holds and checks their values. What it cannot do is done here: a
// program of many verbs, where each verb has flags of its own and refuses the others; `--help` that
// exits 0 and fits a screen; an unknown flag that is answered with the nearest name; a flag that
// may be given many times (`--set`).

// What a verb takes.
struct FlagTable {
  std::string usage;               // "weir run FILE [flags]"
  std::string about;               // a few lines
  std::vector<std::string> flags;  // names, each defined with gflags
  // What the help says of a flag instead of its description and default; "": nothing at all.
  std::map<std::string, std::string> instead;
  std::string repeated;  // the name of the flag that may be given many times; empty: none
  std::string repeated_help;
  size_t min_arguments = 0;
  size_t max_arguments = 0;
};

struct CommandLine {
  std::vector<std::string> arguments;  // what is no flag
  std::vector<std::string> repeated;   // the values of FlagTable::repeated, in order
  bool help = false;                   // print HelpText and exit 0; nothing else was checked
};

// Reads the words after the verb; sets the flags given. "--name=value", "--name value", "--flag",
// "--noflag"; one dash does too; after "--" nothing is a flag. A value that begins with two dashes
// is given as "--name=--value" only.
//
// INVALID_ARGUMENT, a sentence: an unknown flag (with the nearest name), a value that the flag does
// not take or that is missing, too few or too many arguments. The caller prints it and exits 2.
absl::StatusOr<CommandLine> ParseCommandLine(const FlagTable& table,
                                             const std::vector<std::string>& words);

// The page that --help prints.
std::string HelpText(const FlagTable& table);

}  // namespace weir

#endif  // WEIR_LAUNCHER_FLAGS_H_
