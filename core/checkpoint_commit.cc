// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint_commit.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/checkpoint_data.h"
#include "core/checkpoint_reader.h"
#include "core/crc32c.h"

namespace weir {
namespace {

// Of a directory that is being removed; no checkpoint's name.
constexpr const char* kRemovedSuffix = ".removed";

absl::Status At(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::StatusOr<bool> Holds(FileSystem* files, const std::string& root, const std::string& name) {
  const absl::StatusOr<std::vector<std::string>> names = files->List(root);
  if (!names.ok()) return names.status();
  return std::binary_search(names->begin(), names->end(), name);
}

absl::Status CheckBelongs(const std::string& path, const CheckpointPart& part,
                          const CheckpointManifest& manifest, uint32_t shard, uint32_t shards) {
  std::vector<uint32_t> header_crc;
  for (const CheckpointManifest::DataFile& file : manifest.data)
    header_crc.push_back(file.header_crc);
  const bool same_cut = part.name == manifest.name && part.mode == manifest.mode;
  if (same_cut && part.shard == shard && part.shards == shards && part.header_crc == header_crc)
    return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      path, ": is of shard ", part.shard, " of ", part.shards, ", ", part.name.Directory(), ", ",
      part.mode, "; wanted: shard ", shard, " of ", shards, ", ", manifest.name.Directory(), ", ",
      manifest.mode, same_cut ? ", with the same tensors" : ""));
}

// Reads the parts, and notes their files in the manifest.
absl::StatusOr<std::vector<CheckpointPart>> TakeParts(FileSystem* files,
                                                      const std::string& directory, uint32_t shards,
                                                      CheckpointManifest* manifest) {
  std::vector<CheckpointPart> parts;
  for (uint32_t shard = 0; shard < shards; ++shard) {
    const std::string path = absl::StrCat(directory, "/", CheckpointPartFile(shard));
    const absl::StatusOr<std::string> text = ReadWholeFile(files, path, kMaxCheckpointRecordBytes);
    if (absl::IsNotFound(text.status()))
      return absl::FailedPreconditionError(absl::StrCat(path, ": the shard has not finished"));
    if (!text.ok()) return text.status();
    absl::StatusOr<CheckpointPart> part = ParsePart(*text);
    if (!part.ok()) return At(path, part.status());
    const absl::Status belongs = CheckBelongs(path, *part, *manifest, shard, shards);
    if (!belongs.ok()) return belongs;
    manifest->parts.push_back({text->size(), Crc32c(*text)});
    parts.push_back(*std::move(part));
  }
  return parts;
}

// Sizes and headers. What the parts say of the blocks is believed here: each was written, and its
// CRC taken, by the same hand.
absl::Status CheckData(FileSystem* files, const std::string& directory,
                       const std::vector<CheckpointDataFile>& data) {
  for (size_t array = 0; array < data.size(); ++array) {
    const std::string path = absl::StrCat(directory, "/", kCheckpointDataFiles[array]);
    const auto file = files->OpenForReading(path);
    if (!file.ok()) return file.status();
    if ((*file)->size() != data[array].bytes()) {
      return absl::DataLossError(
          absl::StrCat(path, ": has ", (*file)->size(), " bytes instead of ", data[array].bytes()));
    }
    std::string header(data[array].header().size(), '\0');
    const absl::Status status = (*file)->ReadAt(0, header.size(), header.data());
    if (!status.ok()) return status;
    if (header != data[array].header())
      return absl::DataLossError(absl::StrCat(path, ": another header was written"));
  }
  return absl::OkStatus();
}

// Checks the parts, and writes and syncs all that the directory is to hold.
absl::Status Complete(FileSystem* files, const std::string& directory, uint32_t shards,
                      CheckpointManifest* manifest) {
  const absl::StatusOr<std::vector<CheckpointDataFile>> data =
      MakeCheckpointData(manifest->name, manifest->tensors, manifest->arrays());
  if (!data.ok()) return data.status();
  manifest->data.clear();
  manifest->parts.clear();
  for (const CheckpointDataFile& file : *data) manifest->data.push_back(file.Record());
  const absl::StatusOr<std::vector<CheckpointPart>> parts =
      TakeParts(files, directory, shards, manifest);
  if (!parts.ok()) return parts.status();
  absl::Status status = CheckpointIndex::Make(manifest->tensors, *parts).status();
  if (!status.ok()) return At(directory, status);
  status = CheckData(files, directory, *data);
  if (!status.ok()) return status;
  const std::string path = absl::StrCat(directory, "/", kCheckpointManifestFile);
  const absl::StatusOr<std::string> text = FormatManifest(*manifest);
  if (!text.ok()) return At(path, text.status());
  status = WriteWholeFile(files, path, OpenMode::kReplace, *text);
  return status.ok() ? files->SyncDirectory(directory) : status;
}

// What RetainCheckpoints removes, by name.
std::vector<std::string> Removable(const FoundCheckpoints& found,
                                   const CheckpointRetention& retention) {
  const auto in_use = [&](const CheckpointName& name) {
    return std::find(retention.in_use.begin(), retention.in_use.end(), name) !=
           retention.in_use.end();
  };
  const size_t keep = std::max<size_t>(retention.keep, 1);
  std::vector<std::string> removable;
  for (size_t i = keep; i < found.whole.size(); ++i) {
    if (!in_use(found.whole[i])) removable.push_back(found.whole[i].Directory());
  }
  for (const FoundCheckpoints::PassedOver& other : found.passed_over) {
    bool partial = false;
    const auto name = ParseCheckpointDirectory(other.directory, &partial);
    const bool too_old = found.whole.size() >= keep && IsOlder(*name, found.whole[keep - 1]) &&
                         absl::IsDataLoss(other.why);
    if (!in_use(*name) && (partial || too_old)) removable.push_back(other.directory);
  }
  return removable;
}

// Removes what has lost its name; that must be durable before the first of its files goes.
absl::Status Sweep(FileSystem* files, const std::string& root) {
  const absl::StatusOr<std::vector<std::string>> names = files->List(root);
  if (!names.ok()) return names.status();
  std::vector<std::string> paths;
  for (const std::string& name : *names) {
    bool partial = false;
    absl::string_view stem = name;
    if (absl::ConsumeSuffix(&stem, kRemovedSuffix) && ParseCheckpointDirectory(stem, &partial))
      paths.push_back(absl::StrCat(root, "/", name));
  }
  if (paths.empty()) return absl::OkStatus();
  absl::Status status = files->SyncDirectory(root);
  if (!status.ok()) return status;
  for (const std::string& path : paths) status.Update(files->RemoveTree(path));
  return status;
}

}  // namespace

absl::Status BeginCheckpoint(FileSystem* files, const std::string& root,
                             const CheckpointName& name) {
  absl::Status status = files->MakeDirectory(root);
  if (status.ok()) status = files->SyncDirectory(DirectoryOf(root));
  if (!status.ok() && !absl::IsAlreadyExists(status)) return status;
  const absl::StatusOr<bool> exists = Holds(files, root, name.Directory());
  if (!exists.ok()) return exists.status();
  if (*exists) {
    return absl::AlreadyExistsError(
        absl::StrCat(root, "/", name.Directory(), ": this checkpoint is there already"));
  }
  return files->MakeDirectory(absl::StrCat(root, "/", name.PartialDirectory()));
}

absl::StatusOr<std::string> CommitCheckpoint(FileSystem* files, const std::string& root,
                                             CheckpointManifest manifest, uint32_t shards) {
  if (shards == 0) return absl::InvalidArgumentError("a checkpoint has at least one shard");
  const std::string final_path = absl::StrCat(root, "/", manifest.name.Directory());
  const std::string partial_path = absl::StrCat(root, "/", manifest.name.PartialDirectory());
  const absl::StatusOr<bool> committed = Holds(files, root, manifest.name.Directory());
  if (!committed.ok()) return committed.status();
  absl::Status status;
  if (!*committed) {
    status = Complete(files, partial_path, shards, &manifest);
    if (status.ok()) status = files->Rename(partial_path, final_path);
  }
  if (status.ok()) status = files->SyncDirectory(root);
  if (!status.ok()) return status;
  return final_path;
}

absl::StatusOr<std::vector<std::string>> RetainCheckpoints(FileSystem* files,
                                                           const std::string& root,
                                                           const CheckpointRetention& retention) {
  absl::Status first = Sweep(files, root);  // what a crash had left
  const absl::StatusOr<FoundCheckpoints> found = FindCheckpoints(files, root);
  if (!found.ok()) return found.status();
  std::vector<std::string> removed;
  for (const std::string& name : Removable(*found, retention)) {
    const std::string path = absl::StrCat(root, "/", name);
    const absl::Status status = files->Rename(path, absl::StrCat(path, kRemovedSuffix));
    if (status.ok()) removed.push_back(name);
    first.Update(status);
  }
  if (!removed.empty()) first.Update(Sweep(files, root));
  if (!first.ok()) return first;
  return removed;
}

}  // namespace weir
