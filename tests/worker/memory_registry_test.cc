// SPDX-License-Identifier: Apache-2.0
#include "worker/memory_registry.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "core/pages.h"

namespace weir {
namespace {

constexpr size_t kLimit = 1 << 20;

TEST(MemoryRegistryTest, BlocksAreZeroedAndAlignedForAnyKernel) {
  MemoryRegistry registry(kLimit, MapPages);
  const TensorMemory memory = registry.Allocate(1000).value();
  EXPECT_EQ(memory.bytes(), 1000u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 64, 0u);
  for (size_t i = 0; i < 250; ++i) EXPECT_EQ(memory.floats()[i], 0.0f);
}

TEST(MemoryRegistryTest, FindsTheOwnerOfWhatLiesWholeInOneBlock) {
  MemoryRegistry registry(kLimit, MapPages);
  const TensorMemory memory = registry.Allocate(1000).value();
  const char* data = static_cast<const char*>(memory.data());
  EXPECT_EQ(registry.Owner(data, 1000).get(), memory.data());
  EXPECT_EQ(registry.Owner(data + 600, 400).get(), memory.data());
  EXPECT_EQ(registry.Owner(data + 600, 401), nullptr);
  EXPECT_EQ(registry.Owner(data - 1, 10), nullptr);
  EXPECT_EQ(registry.Owner(data + 1001, 0), nullptr);
  EXPECT_EQ(registry.Owner(data, SIZE_MAX), nullptr);
  const float elsewhere = 0;
  EXPECT_EQ(registry.Owner(&elsewhere, sizeof(float)), nullptr);
}

TEST(MemoryRegistryTest, BlockLivesWhileAnOwnerDoesAlsoAfterTheRegistry) {
  std::optional<MemoryRegistry> registry(std::in_place, kLimit, MapPages);
  std::optional<TensorMemory> memory = registry->Allocate(1000).value();
  memory->floats()[3] = 7;
  std::shared_ptr<const void> owner = registry->Owner(memory->data(), 1000);
  memory.reset();
  EXPECT_EQ(registry->bytes_in_use(), 1000u);
  registry.reset();
  EXPECT_EQ(static_cast<const float*>(owner.get())[3], 7.0f);
}

TEST(MemoryRegistryTest, LastReferenceMayGoOnAnotherThreadAndMakesRoom) {
  MemoryRegistry registry(kLimit, MapPages);
  TensorMemory memory = registry.Allocate(kLimit).value();
  const void* data = memory.data();
  std::thread([last = std::move(memory)]() mutable { last = TensorMemory(); }).join();
  EXPECT_EQ(registry.bytes_in_use(), 0u);
  EXPECT_EQ(registry.Owner(data, 1), nullptr);
  EXPECT_TRUE(registry.Allocate(kLimit).ok());
}

TEST(MemoryRegistryTest, MoreThanTheLimitIsRefusedNamingTheOption) {
  MemoryRegistry registry(kLimit, MapPages);
  const TensorMemory memory = registry.Allocate(kLimit - 64).value();
  const Status status = registry.Allocate(65).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(),
            "Allocate: 65 bytes beside the 1048512 in use are more than Options::max_memory_bytes, "
            "1048576: drop handles that are not needed, or raise the option");
  EXPECT_TRUE(registry.Allocate(64).ok());
}

TEST(MemoryRegistryTest, NoBytesAreRefused) {
  MemoryRegistry registry(kLimit, MapPages);
  EXPECT_EQ(registry.Allocate(0).status().code(), StatusCode::kInvalidArgument);
}

TEST(MemoryRegistryTest, SourceThatHasNoneIsToldAndTakesNothingOfTheLimit) {
  MemoryRegistry registry(kLimit, [](size_t) -> absl::StatusOr<std::shared_ptr<void>> {
    return absl::ResourceExhaustedError("none left");
  });
  const Status status = registry.Allocate(100).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "Allocate: none left");
  EXPECT_EQ(registry.bytes_in_use(), 0u);
}

TEST(MemoryRegistryTest, OwnersAreNullForGradientsElsewhereAndForNone) {
  MemoryRegistry registry(kLimit, MapPages);
  const TensorMemory memory = registry.Allocate(64).value();
  const std::vector<float> elsewhere(4);
  std::vector<TensorPush> pushes(4);
  pushes[0].gradient = {memory.data(), ElementType::kFloat32, 16};
  pushes[1].gradient = {elsewhere.data(), ElementType::kFloat32, 4};
  pushes[3].gradient = {memory.floats() + 8, ElementType::kFloat32, 9};
  const std::vector<std::shared_ptr<const void>> owners = registry.Owners(pushes);
  ASSERT_EQ(owners.size(), 4u);
  EXPECT_EQ(owners[0].get(), memory.data());
  EXPECT_EQ(owners[1], nullptr);
  EXPECT_EQ(owners[2], nullptr);
  EXPECT_EQ(owners[3], nullptr) << "one element lies beyond the block";
}

}  // namespace
}  // namespace weir
