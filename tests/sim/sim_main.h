// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_SIM_SIM_MAIN_H_
#define WEIR_TESTS_SIM_SIM_MAIN_H_

namespace weir {

// The program weir-sim: simulates whole clusters, one a seed, and holds them to their promises.
//
//   weir-sim [--seeds=N] [--first=S]   N clusters, from seed S; prints what happened, as a table
//   weir-sim --seed=K [--trace]        one; with --trace every event of it
//
// Returns 0; 1 when a promise was broken (printed: which, how, the last events, and the command
// that replays it) or, of 100 seeds or more, when some fault, outcome or check never happened; 2
// for a flag that it does not know.
int SimMain(int argc, char** argv);

}  // namespace weir

#endif  // WEIR_TESTS_SIM_SIM_MAIN_H_
