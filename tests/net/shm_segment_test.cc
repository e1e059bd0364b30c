// SPDX-License-Identifier: Apache-2.0
#include "net/shm_segment.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "core/pages.h"

namespace weir {
namespace {

constexpr size_t kBytes = size_t{1} << 20;
constexpr uint64_t kPlenty = uint64_t{1} << 40;
constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

std::shared_ptr<ShmSegment> Make(SegmentAccess access) {
  auto segment = ShmSegment::Create(kBytes, access, kPlenty);
  EXPECT_TRUE(segment.ok()) << segment.status();
  return segment.ok() ? *segment : nullptr;
}

ShmSegment::Expected Expect(SegmentAccess access) { return {access, kBytes, kBytes}; }

// What another process might hand over.
ShmFd Handmade(int seals, mode_t mode = 0600, unsigned flags = MFD_ALLOW_SEALING) {
  ShmFd fd(memfd_create("handmade", MFD_CLOEXEC | flags));
  EXPECT_TRUE(fd) << std::strerror(errno);
  EXPECT_EQ(fchmod(fd.get(), mode), 0);
  EXPECT_EQ(fallocate(fd.get(), 0, 0, kBytes), 0) << std::strerror(errno);
  EXPECT_EQ(seals == 0 ? 0 : fcntl(fd.get(), F_ADD_SEALS, seals), 0) << std::strerror(errno);
  return fd;
}

TEST(ShmSegmentTest, ASegmentIsZerosOfModeSixHundredSealedAndAllocatedInFull) {
  for (const SegmentAccess access : {SegmentAccess::kBoth, SegmentAccess::kCreatorOnly}) {
    const auto segment = Make(access);
    ASSERT_NE(segment, nullptr);
    struct stat file {};
    ASSERT_EQ(fstat(segment->fd(), &file), 0);
    EXPECT_EQ(file.st_mode & 07777, 0600u);
    EXPECT_EQ(file.st_size, static_cast<off_t>(kBytes));
    EXPECT_GE(file.st_blocks * 512, static_cast<blkcnt_t>(kBytes));
    EXPECT_EQ(fcntl(segment->fd(), F_GET_SEALS),
              access == SegmentAccess::kBoth ? kSizeSeals : kSizeSeals | F_SEAL_FUTURE_WRITE);
    EXPECT_NE(fcntl(segment->fd(), F_GETFD) & FD_CLOEXEC, 0);
    for (size_t i = 0; i < kBytes; i += 512) ASSERT_EQ(segment->data()[i], 0);
    EXPECT_NE(ftruncate(segment->fd(), 0), 0);
    EXPECT_NE(ftruncate(segment->fd(), 2 * kBytes), 0);
  }
}

TEST(ShmSegmentTest, SizesAreRoundedUpToWholePages) {
  const auto segment = ShmSegment::Create(5000, SegmentAccess::kBoth, kPlenty);
  ASSERT_TRUE(segment.ok());
  EXPECT_EQ((*segment)->size(), 8192u);
}

TEST(ShmSegmentTest, WhatFillsHugePagesBeginsAtOneOnBothSides) {
  const size_t bytes = 3 * kHugePageBytes + 4096;  // the last page is a small one
  const auto segment = ShmSegment::Create(bytes, SegmentAccess::kCreatorOnly, kPlenty);
  ASSERT_TRUE(segment.ok()) << segment.status();
  EXPECT_EQ((*segment)->size(), bytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>((*segment)->data()) % kHugePageBytes, 0u);
  for (size_t i = 0; i < bytes; i += 64) ASSERT_EQ((*segment)->data()[i], 0);
  (*segment)->data()[bytes - 1] = 7;

  const auto adopted =
      ShmSegment::Adopt(ShmFd(dup((*segment)->fd())), {SegmentAccess::kCreatorOnly, bytes, bytes});
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  EXPECT_EQ(reinterpret_cast<uintptr_t>((*adopted)->data()) % kHugePageBytes, 0u);
  EXPECT_EQ((*adopted)->data()[bytes - 1], 7);
}

// The bytes of the mapping that begins at `data` that lie in huge pages.
size_t HugeBytes(const char* data) {
  std::ifstream file("/proc/self/smaps");
  const std::string begin = absl::StrCat(absl::Hex(reinterpret_cast<uintptr_t>(data)), "-");
  bool here = false;
  for (std::string line; std::getline(file, line);) {
    if (absl::StartsWith(line, begin)) here = true;
    size_t kib = 0;
    if (here && absl::StartsWith(line, "ShmemPmdMapped:")) {
      std::istringstream(line.substr(line.find(':') + 1)) >> kib;
      return kib << 10;
    }
  }
  return 0;
}

// Nothing can be asked for where the kernel makes no huge pages at all.
TEST(ShmSegmentTest, WhatFillsHugePagesLiesInThemWhereTheKernelMakesThem) {
  constexpr int kCollapse = 25;
  const auto own = MapPages(kHugePageBytes);
  ASSERT_TRUE(own.ok()) << own.status();
  std::memset(own->get(), 1, kHugePageBytes);
  const bool makes = madvise(own->get(), kHugePageBytes, kCollapse) == 0;
  const size_t bytes = 4 * kHugePageBytes;
  const auto segment = ShmSegment::Create(bytes, SegmentAccess::kCreatorOnly, kPlenty);
  ASSERT_TRUE(segment.ok()) << segment.status();
  const auto adopted =
      ShmSegment::Adopt(ShmFd(dup((*segment)->fd())), {SegmentAccess::kCreatorOnly, bytes, bytes});
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  EXPECT_EQ(HugeBytes((*segment)->data()) > 0, makes);
  EXPECT_EQ(HugeBytes((*adopted)->data()), HugeBytes((*segment)->data()));
}

TEST(ShmSegmentTest, AReceiverReadsWhatTheCreatorWrites) {
  const auto segment = Make(SegmentAccess::kCreatorOnly);
  const auto adopted =
      ShmSegment::Adopt(ShmFd(dup(segment->fd())), Expect(SegmentAccess::kCreatorOnly));
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  segment->data()[12345] = 7;
  EXPECT_EQ((*adopted)->data()[12345], 7);
  EXPECT_EQ((*adopted)->fd(), -1);
}

TEST(ShmSegmentTest, BothEndsWriteIntoASegmentOfBoth) {
  const auto segment = Make(SegmentAccess::kBoth);
  const auto adopted = ShmSegment::Adopt(ShmFd(dup(segment->fd())), Expect(SegmentAccess::kBoth));
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  (*adopted)->data()[1] = 9;
  EXPECT_EQ(segment->data()[1], 9);
}

TEST(ShmSegmentTest, NobodyElseCanWriteIntoItsCreatorsSegmentOrPunchHolesIntoIt) {
  const auto segment = Make(SegmentAccess::kCreatorOnly);
  segment->data()[0] = 5;
  EXPECT_EQ(mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, segment->fd(), 0),
            MAP_FAILED);
  EXPECT_LT(pwrite(segment->fd(), "x", 1, 0), 0);
  EXPECT_NE(fallocate(segment->fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kBytes), 0);
  EXPECT_EQ(segment->data()[0], 5);
}

TEST(ShmSegmentTest, AHoleReadsAsZeros) {
  const auto segment = Make(SegmentAccess::kBoth);
  const auto adopted = ShmSegment::Adopt(ShmFd(dup(segment->fd())), Expect(SegmentAccess::kBoth));
  ASSERT_TRUE(adopted.ok());
  std::memset(segment->data(), 1, kBytes);
  ASSERT_EQ(fallocate(segment->fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kBytes), 0);
  for (size_t i = 0; i < kBytes; i += 100) ASSERT_EQ((*adopted)->data()[i], 0);
}

TEST(ShmSegmentTest, WhereThereIsNotEnoughMemoryNothingIsMade) {
  const auto segment = ShmSegment::Create(kBytes, SegmentAccess::kBoth, kBytes - 1);
  EXPECT_TRUE(absl::IsResourceExhausted(segment.status())) << segment.status();
  const auto absurd = ShmSegment::Create(size_t{1} << 60, SegmentAccess::kBoth, ~uint64_t{0});
  EXPECT_TRUE(absl::IsResourceExhausted(absurd.status())) << absurd.status();
}

// Sets a limit of this process for a test.
class Limit {
 public:
  Limit(int which, rlim_t value) : which_(which) {
    getrlimit(which, &before_);
    const rlimit now{value, before_.rlim_max};
    EXPECT_EQ(setrlimit(which, &now), 0);
  }
  ~Limit() { setrlimit(which_, &before_); }

 private:
  const int which_;
  rlimit before_{};
};

TEST(ShmSegmentTest, ALimitOfFileSizesIsToldRatherThanDiedOf) {
  const Limit limit(RLIMIT_FSIZE, kBytes / 2);
  const auto segment = ShmSegment::Create(kBytes, SegmentAccess::kBoth, kPlenty);
  EXPECT_TRUE(absl::IsResourceExhausted(segment.status())) << segment.status();
}

TEST(ShmSegmentTest, ALackOfDescriptorsOrAddressesIsTold) {
  {
    const Limit limit(RLIMIT_NOFILE, 3);
    const auto segment = ShmSegment::Create(kBytes, SegmentAccess::kBoth, kPlenty);
    EXPECT_TRUE(absl::IsResourceExhausted(segment.status())) << segment.status();
  }
#ifndef __SANITIZE_ADDRESS__  // whose shadow is beyond any such limit
  const Limit limit(RLIMIT_AS, kBytes);
  const auto segment = ShmSegment::Create(2 * kBytes, SegmentAccess::kBoth, kPlenty);
  EXPECT_TRUE(absl::IsResourceExhausted(segment.status())) << segment.status();
#endif
}

TEST(ShmSegmentTest, TheMachineSaysHowMuchMemoryIsLeft) {
  EXPECT_GT(AvailableMemoryBytes(), 0u);
  EXPECT_LT(AvailableMemoryBytes(), uint64_t{1} << 50);
}

absl::Status Refusal(ShmFd fd, SegmentAccess access) {
  return ShmSegment::Adopt(std::move(fd), Expect(access)).status();
}

TEST(ShmSegmentTest, WhatIsNotSealedAsAgreedIsRefused) {
  const int both = kSizeSeals;
  const int creator = kSizeSeals | F_SEAL_FUTURE_WRITE;
  EXPECT_TRUE(Refusal(Handmade(both), SegmentAccess::kBoth).ok());
  EXPECT_TRUE(Refusal(Handmade(creator), SegmentAccess::kCreatorOnly).ok());
  for (const int seals : {0, F_SEAL_SHRINK, F_SEAL_SHRINK | F_SEAL_GROW, F_SEAL_GROW | F_SEAL_SEAL,
                          F_SEAL_SHRINK | F_SEAL_SEAL, kSizeSeals | F_SEAL_WRITE}) {
    const absl::Status refusal = Refusal(Handmade(seals), SegmentAccess::kBoth);
    EXPECT_TRUE(absl::IsFailedPrecondition(refusal)) << seals << ": " << refusal;
  }
  // Whose writer could take it away from its reader, or could not write.
  for (const int seals : {both, creator | F_SEAL_WRITE, F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE}) {
    const absl::Status refusal = Refusal(Handmade(seals), SegmentAccess::kCreatorOnly);
    EXPECT_TRUE(absl::IsFailedPrecondition(refusal)) << seals << ": " << refusal;
  }
}

TEST(ShmSegmentTest, WhatIsOpenToOthersIsRefused) {
  for (const mode_t mode : {0777, 0640, 0400, 04600}) {
    const absl::Status refusal = Refusal(Handmade(kSizeSeals, mode), SegmentAccess::kBoth);
    EXPECT_TRUE(absl::IsFailedPrecondition(refusal)) << mode << ": " << refusal;
  }
}

TEST(ShmSegmentTest, WhatIsNotOfTheAnnouncedSizeIsRefused) {
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{4096}, kBytes + 4096, ~uint64_t{0}}) {
    ShmSegment::Expected expected{SegmentAccess::kBoth, bytes, kPlenty};
    const auto adopted = ShmSegment::Adopt(Handmade(kSizeSeals), expected);
    EXPECT_TRUE(absl::IsFailedPrecondition(adopted.status())) << bytes << adopted.status();
  }
  ShmSegment::Expected too_large{SegmentAccess::kBoth, kBytes, kBytes - 1};
  EXPECT_TRUE(
      absl::IsResourceExhausted(ShmSegment::Adopt(Handmade(kSizeSeals), too_large).status()));
}

TEST(ShmSegmentTest, WhatIsNoMemoryOfOrdinaryPagesIsRefused) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const ShmFd other_end(ends[1]);
  EXPECT_TRUE(absl::IsFailedPrecondition(Refusal(ShmFd(ends[0]), SegmentAccess::kBoth)));
  EXPECT_TRUE(absl::IsFailedPrecondition(Refusal(ShmFd(), SegmentAccess::kBoth)));
  EXPECT_TRUE(absl::IsFailedPrecondition(
      Refusal(ShmFd(open("/dev/null", O_RDWR | O_CLOEXEC)), SegmentAccess::kBoth)));

  // Of huge pages, an access to which can fail; where the kernel has them.
  ShmFd huge(memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB));
  if (!huge) return;
  constexpr uint64_t kHuge = uint64_t{2} << 20;
  fchmod(huge.get(), 0600);
  if (ftruncate(huge.get(), kHuge) != 0) return;
  ASSERT_EQ(fcntl(huge.get(), F_ADD_SEALS, kSizeSeals), 0);
  const auto adopted = ShmSegment::Adopt(std::move(huge), {SegmentAccess::kBoth, kHuge, kHuge});
  EXPECT_TRUE(absl::IsFailedPrecondition(adopted.status())) << adopted.status();
}

TEST(ShmSegmentTest, WhatHasHolesIsRefused) {
  ShmFd sparse = Handmade(/*seals=*/0);
  ASSERT_EQ(fallocate(sparse.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096), 0);
  ASSERT_EQ(fcntl(sparse.get(), F_ADD_SEALS, kSizeSeals | F_SEAL_FUTURE_WRITE), 0);
  const absl::Status refusal = Refusal(std::move(sparse), SegmentAccess::kCreatorOnly);
  EXPECT_TRUE(absl::IsFailedPrecondition(refusal)) << refusal;
}

TEST(ShmSegmentTest, WhatMayOnlyBeReadIsRefusedWhereItMustBeWritten) {
  const auto segment = Make(SegmentAccess::kBoth);
  const std::string path = "/proc/self/fd/" + std::to_string(segment->fd());
  const absl::Status refusal =
      Refusal(ShmFd(open(path.c_str(), O_RDONLY | O_CLOEXEC)), SegmentAccess::kBoth);
  EXPECT_FALSE(refusal.ok());
}

}  // namespace
}  // namespace weir
