// SPDX-License-Identifier: Apache-2.0
#include "tests/core/faulty_file_system.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace weir {
namespace {

constexpr size_t kPieceBytes = 512;

absl::Status Error(const std::string& path, int error) {
  return absl::ErrnoToStatus(error, absl::StrCat(path, ": (fault)"));
}

}  // namespace

class FaultyWritableFile : public WritableFile {
 public:
  FaultyWritableFile(FaultyFileSystem* files, std::shared_ptr<FaultyFileSystem::Node> node,
                     std::string path)
      : files_(files), node_(std::move(node)), path_(std::move(path)), crashes_(files->crashes_) {}

  absl::Status Allocate(uint64_t bytes) override {
    absl::Status status = Call();
    if (!status.ok() || node_->bytes.size() >= bytes) return status;
    node_->bytes.resize(bytes);
    node_->changes.push_back({/*resizes=*/true, bytes, ""});
    return absl::OkStatus();
  }
  absl::Status WriteAt(uint64_t offset, absl::string_view data) override {
    if (crashes_ != files_->crashes_) return Dead();
    return files_->Write(node_.get(), path_, offset, data);
  }
  absl::Status Sync() override {
    if (crashes_ != files_->crashes_) return Dead();
    return files_->Sync(node_.get(), path_);
  }
  absl::Status Close() override { return Call(); }

 private:
  absl::Status Dead() const { return Error(path_, EIO); }
  absl::Status Call() { return crashes_ == files_->crashes_ ? files_->Call(path_) : Dead(); }

  FaultyFileSystem* const files_;
  const std::shared_ptr<FaultyFileSystem::Node> node_;
  const std::string path_;
  const uint64_t crashes_;
};

class FaultyReadableFile : public ReadableFile {
 public:
  FaultyReadableFile(FaultyFileSystem* files, std::shared_ptr<FaultyFileSystem::Node> node,
                     std::string path)
      : files_(files), node_(std::move(node)), path_(std::move(path)), size_(node_->bytes.size()) {}

  uint64_t size() const override { return size_; }
  absl::Status ReadAt(uint64_t offset, size_t size, char* out) const override {
    const absl::Status status = files_->Call(path_);
    if (!status.ok()) return status;
    if (offset > node_->bytes.size() || size > node_->bytes.size() - offset)
      return absl::DataLossError(absl::StrCat(path_, ": ends before byte ", offset + size));
    std::copy_n(node_->bytes.data() + offset, size, out);
    return absl::OkStatus();
  }

 private:
  FaultyFileSystem* const files_;
  const std::shared_ptr<FaultyFileSystem::Node> node_;
  const std::string path_;
  const uint64_t size_;
};

FaultyFileSystem::FaultyFileSystem(uint64_t seed) : random_(seed), root_(std::make_shared<Node>()) {
  root_->is_directory = true;
}

FaultyFileSystem::~FaultyFileSystem() = default;

void FaultyFileSystem::FailAt(uint64_t call, int error) {
  fail_at_ = call;
  error_ = error;
}

void FaultyFileSystem::StopAt(uint64_t call) { stop_at_ = call; }

absl::Status FaultyFileSystem::Call(const std::string& path) {
  ++calls_;
  if (stop_at_ != 0 && calls_ >= stop_at_) return Error(path, EIO);
  return calls_ == fail_at_ ? Error(path, error_) : absl::OkStatus();
}

FaultyFileSystem::NodePtr FaultyFileSystem::Find(const std::string& path) const {
  NodePtr node = root_;
  for (const absl::string_view name : absl::StrSplit(path, '/', absl::SkipEmpty())) {
    const auto at = node->names.find(std::string(name));
    if (at == node->names.end()) return nullptr;
    node = at->second;
  }
  return node;
}

absl::StatusOr<FaultyFileSystem::NodePtr> FaultyFileSystem::Parent(const std::string& path,
                                                                   std::string* name) const {
  *name = path.substr(path.rfind('/') + 1);
  NodePtr parent = Find(DirectoryOf(path));
  if (parent == nullptr || !parent->is_directory) return Error(path, ENOENT);
  return parent;
}

absl::StatusOr<std::unique_ptr<WritableFile>> FaultyFileSystem::OpenForWriting(
    const std::string& path, OpenMode mode) {
  const absl::Status status = Call(path);
  if (!status.ok()) return status;
  std::string name;
  const absl::StatusOr<NodePtr> parent = Parent(path, &name);
  if (!parent.ok()) return parent.status();
  NodePtr& node = (*parent)->names[name];
  if (node == nullptr) {
    node = std::make_shared<Node>();
    (*parent)->name_changes.push_back({name, node, ""});
  } else if (mode == OpenMode::kNew) {
    return Error(path, EEXIST);
  } else if (mode == OpenMode::kReplace) {
    node->bytes.clear();
    node->changes.push_back({/*resizes=*/true, 0, ""});
  }
  return std::make_unique<FaultyWritableFile>(this, node, path);
}

absl::StatusOr<std::unique_ptr<ReadableFile>> FaultyFileSystem::OpenForReading(
    const std::string& path) {
  const absl::Status status = Call(path);
  if (!status.ok()) return status;
  const NodePtr node = Find(path);
  if (node == nullptr) return Error(path, ENOENT);
  if (node->is_directory) return absl::FailedPreconditionError(path + ": not a regular file");
  return std::make_unique<FaultyReadableFile>(this, node, path);
}

absl::Status FaultyFileSystem::MakeDirectory(const std::string& path) {
  const absl::Status status = Call(path);
  if (!status.ok()) return status;
  std::string name;
  const absl::StatusOr<NodePtr> parent = Parent(path, &name);
  if (!parent.ok()) return parent.status();
  NodePtr& node = (*parent)->names[name];
  if (node != nullptr) return Error(path, EEXIST);
  node = std::make_shared<Node>();
  node->is_directory = true;
  (*parent)->name_changes.push_back({name, node, ""});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> FaultyFileSystem::List(const std::string& path) {
  const absl::Status status = Call(path);
  if (!status.ok()) return status;
  const NodePtr node = Find(path);
  if (node == nullptr) return Error(path, ENOENT);
  if (!node->is_directory) return Error(path, ENOTDIR);
  std::vector<std::string> names;
  for (const auto& [name, child] : node->names) names.push_back(name);
  return names;
}

absl::Status FaultyFileSystem::SyncDirectory(const std::string& path) {
  const absl::Status status = Call(path);
  if (!status.ok()) return status;
  const NodePtr node = Find(path == "." ? "" : path);
  if (node == nullptr) return Error(path, ENOENT);
  node->durable_names = node->names;
  node->name_changes.clear();
  return absl::OkStatus();
}

absl::Status FaultyFileSystem::Rename(const std::string& from, const std::string& to) {
  const absl::Status status = Call(from);
  if (!status.ok()) return status;
  std::string old_name, new_name;
  const absl::StatusOr<NodePtr> parent = Parent(from, &old_name);
  const absl::StatusOr<NodePtr> target = Parent(to, &new_name);
  if (!parent.ok() || *target != *parent || (*parent)->names.count(old_name) == 0)
    return Error(from, ENOENT);
  if ((*parent)->names.count(new_name) > 0) return Error(from, EEXIST);
  const NameChange change{new_name, (*parent)->names[old_name], old_name};
  Apply(change, &(*parent)->names);
  (*parent)->name_changes.push_back(change);
  return absl::OkStatus();
}

// Name by name, as rm -r does; a fault may leave a part.
absl::Status FaultyFileSystem::RemoveTree(const std::string& path) {
  const absl::Status status = Call(path);
  if (!status.ok()) return status;
  const NodePtr node = Find(path);
  if (node == nullptr) return absl::OkStatus();
  const Names children = node->names;
  for (const auto& [name, child] : children) {
    const absl::Status removed = RemoveTree(absl::StrCat(path, "/", name));
    if (!removed.ok()) return removed;
  }
  std::string name;
  const absl::StatusOr<NodePtr> parent = Parent(path, &name);
  if (!parent.ok()) return parent.status();
  (*parent)->names.erase(name);
  (*parent)->name_changes.push_back({name, nullptr, ""});
  return absl::OkStatus();
}

absl::Status FaultyFileSystem::Write(Node* node, const std::string& path, uint64_t offset,
                                     absl::string_view data) {
  const absl::Status status = Call(path);
  if (stop_at_ != 0 && calls_ >= stop_at_) return status;
  if (!status.ok()) data = data.substr(0, random_.Below(data.size() + 1));
  while (!data.empty()) {
    const absl::string_view piece = data.substr(0, kPieceBytes);
    node->changes.push_back({/*resizes=*/false, offset, std::string(piece)});
    Apply(node->changes.back(), &node->bytes);
    offset += piece.size();
    data.remove_prefix(piece.size());
  }
  return status;
}

absl::Status FaultyFileSystem::Sync(Node* node, const std::string& path) {
  const absl::Status status = Call(path);
  if (stop_at_ != 0 && calls_ >= stop_at_) return status;
  if (status.ok()) {
    for (const Change& change : node->changes) Apply(change, &node->durable_bytes);
  } else {
    ApplySomeInAnyOrder(node->changes, &node->durable_bytes);
  }
  node->changes.clear();
  return status;
}

void FaultyFileSystem::Crash() {
  ++crashes_;
  stop_at_ = fail_at_ = 0;
  CrashDirectory(root_.get());
}

void FaultyFileSystem::CrashDirectory(Node* node) {
  for (const NameChange& change : Some(node->name_changes)) Apply(change, &node->durable_names);
  node->name_changes.clear();
  node->names = node->durable_names;
  for (const auto& [name, child] : node->names)
    child->is_directory ? CrashDirectory(child.get()) : CrashFile(child.get());
}

void FaultyFileSystem::CrashFile(Node* node) {
  ApplySomeInAnyOrder(node->changes, &node->durable_bytes);
  node->changes.clear();
  node->bytes = node->durable_bytes;
}

// Each with a chance that is drawn once for all: few, half, or most of them are kept.
template <typename T>
std::vector<T> FaultyFileSystem::Some(std::vector<T> all) {
  const uint64_t kept_of_8 = 1 + random_.Below(8);
  std::vector<T> some;
  for (T& each : all) {
    if (random_.Below(8) < kept_of_8) some.push_back(std::move(each));
  }
  return some;
}

void FaultyFileSystem::ApplySomeInAnyOrder(const std::vector<Change>& changes, std::string* bytes) {
  std::vector<Change> some = Some(changes);
  for (size_t i = some.size(); i > 1; --i) std::swap(some[i - 1], some[random_.Below(i)]);
  for (const Change& change : some) Apply(change, bytes);
}

void FaultyFileSystem::Apply(const Change& change, std::string* bytes) {
  if (change.resizes) {
    bytes->resize(change.offset);
    return;
  }
  const size_t end = change.offset + change.bytes.size();
  if (bytes->size() < end) bytes->resize(end);
  bytes->replace(change.offset, change.bytes.size(), change.bytes);
}

void FaultyFileSystem::Apply(const NameChange& change, Names* names) {
  if (!change.from.empty()) {
    const auto old = names->find(change.from);
    if (old != names->end() && old->second == change.node) names->erase(old);
  }
  if (change.node == nullptr) {
    names->erase(change.name);
  } else {
    (*names)[change.name] = change.node;
  }
}

std::string FaultyFileSystem::Contents(const std::string& path) const {
  const NodePtr node = Find(path);
  return node == nullptr ? "" : node->bytes;
}

void FaultyFileSystem::Spoil(const std::string& path, const std::string& contents) {
  const NodePtr node = Find(path);
  if (node == nullptr) return;
  node->bytes = node->durable_bytes = contents;
  node->changes.clear();
}

}  // namespace weir
