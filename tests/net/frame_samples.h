// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_NET_FRAME_SAMPLES_H_
#define WEIR_TESTS_NET_FRAME_SAMPLES_H_

#include <google/protobuf/message.h>

#include <random>
#include <string>

#include "core/payload.h"

namespace weir::testing {

using Random = std::mt19937_64;

// Fills `message` with seeded content: numbers of all lengths, texts, payloads, one kind of its
// oneof. What the frames' structs cannot hold is left out: enumerators beyond 255, shapes of more
// than 16 dimensions, a push_pull without a push or values, a batch.
void FillAtRandom(Random& random, google::protobuf::Message* message);

// Another legal encoding of `wire`, an encoding of a message of type `like`: fields in another
// order, some twice (the earlier one with other content), submessages in two parts, packed numbers
// unpacked, longer varints, unknown fields. What it means is for the generated parser to say.
std::string Scramble(Random& random, const std::string& wire,
                     const google::protobuf::Message& like);

// The bytes as a payload cut into chunks at random places. Each chunk owns its copy.
Payload Chop(Random& random, const std::string& bytes);
// As one chunk.
Payload Whole(const std::string& bytes);

std::string Flatten(const Payload& payload);

}  // namespace weir::testing

#endif  // WEIR_TESTS_NET_FRAME_SAMPLES_H_
