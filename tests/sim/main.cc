// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/sim_main.h"

int main(int argc, char** argv) { return weir::SimMain(argc, argv); }
