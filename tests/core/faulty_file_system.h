// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_CORE_FAULTY_FILE_SYSTEM_H_
#define WEIR_TESTS_CORE_FAULTY_FILE_SYSTEM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/file_system.h"
#include "tests/core/random_floats.h"

namespace weir {

// A file system in memory that keeps no promise but those of core/file_system.h.
//
// It holds two states: what processes see, and what is durable. A write is durable after its file's
// Sync, a name (made, removed, renamed) after its directory's SyncDirectory. Crash() keeps of all
// that is not durable a seeded choice: each write, in pieces of 512 bytes, is kept or lost by
// itself, and those kept come in any order; and so is each change of a name, but that changes of
// one name keep their order, as no directory has two names. A Sync that fails drops, for good, a
// choice of what it should have made durable, though processes still see it: as Linux does.
//
// Faults are counted in calls of any kind. Deterministic. Not thread-safe. It outlives its files.
class FaultyFileSystem : public FileSystem {
 public:
  explicit FaultyFileSystem(uint64_t seed);
  ~FaultyFileSystem() override;

  // Calls so far, files' own included.
  uint64_t calls() const { return calls_; }

  // Call number `call` (the first is 1) fails with `error` (ENOSPC, EIO ...); a write of it writes
  // a part first.
  void FailAt(uint64_t call, int error);

  // That call, and every one after it until Crash(), fails as if this process were gone: it does
  // nothing.
  void StopAt(uint64_t call);

  // The machine loses power and comes back: what was not durable is gone in part, files that were
  // open are good for nothing, all faults are forgotten.
  void Crash();

  // What is in the file, or changes it behind everybody's back, durably. REQUIRES: it is there.
  std::string Contents(const std::string& path) const;
  void Spoil(const std::string& path, const std::string& contents);

  absl::StatusOr<std::unique_ptr<WritableFile>> OpenForWriting(const std::string& path,
                                                               OpenMode mode) override;
  absl::StatusOr<std::unique_ptr<ReadableFile>> OpenForReading(const std::string& path) override;
  absl::Status MakeDirectory(const std::string& path) override;
  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override;
  absl::Status SyncDirectory(const std::string& path) override;
  absl::Status Rename(const std::string& from, const std::string& to) override;
  absl::Status RemoveTree(const std::string& path) override;

 private:
  friend class FaultyWritableFile;
  friend class FaultyReadableFile;

  struct Node;
  using NodePtr = std::shared_ptr<Node>;
  using Names = std::map<std::string, NodePtr>;

  // A change of bytes that is not durable: `bytes` at `offset`, or, where `resizes`, the new size.
  struct Change {
    bool resizes = false;
    uint64_t offset = 0;
    std::string bytes;
  };
  // A change of names that is not durable: `name` is now `node`, or, where that is null, gone; and
  // `from`, unless it is empty, was the node's name before.
  struct NameChange {
    std::string name;
    NodePtr node;
    std::string from;
  };
  // A file or a directory.
  struct Node {
    bool is_directory = false;
    std::string bytes, durable_bytes;
    std::vector<Change> changes;
    Names names, durable_names;
    std::vector<NameChange> name_changes;
  };

  // Counts a call: OK, or the fault that is due.
  absl::Status Call(const std::string& path);
  NodePtr Find(const std::string& path) const;
  // The directory that holds the last name of `path`, and that name.
  absl::StatusOr<NodePtr> Parent(const std::string& path, std::string* name) const;
  absl::Status Write(Node* node, const std::string& path, uint64_t offset, absl::string_view data);
  absl::Status Sync(Node* node, const std::string& path);
  void CrashFile(Node* node);
  void CrashDirectory(Node* node);
  template <typename T>
  std::vector<T> Some(std::vector<T> all);
  void ApplySomeInAnyOrder(const std::vector<Change>& changes, std::string* bytes);
  static void Apply(const Change& change, std::string* bytes);
  static void Apply(const NameChange& change, Names* names);

  TestRandom random_;
  NodePtr root_;
  uint64_t calls_ = 0;
  uint64_t fail_at_ = 0;
  int error_ = 0;
  uint64_t stop_at_ = 0;
  uint64_t crashes_ = 0;  // files opened before the last one are dead
};

}  // namespace weir

#endif  // WEIR_TESTS_CORE_FAULTY_FILE_SYSTEM_H_
