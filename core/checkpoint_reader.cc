// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "core/crc32c.h"
#include "core/safetensors.h"
#include "core/safetensors_header.h"

namespace weir {
namespace {

constexpr size_t kBufferBytes = size_t{256} << 10;

absl::Status At(const std::string& path, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(path, ": ", status.message()));
}

absl::Status Damaged(const std::string& path, absl::string_view what) {
  return absl::DataLossError(absl::StrCat(path, ": ", what));
}

// That a whole header, of the CRC that the manifest names, says where each tensor is as we have it.
absl::Status CheckHeader(const std::string& path, const std::string& header,
                         const CheckpointDataFile& layout,
                         const std::vector<TensorShape>& tensors) {
  constexpr size_t kLengthBytes = 8;
  uint64_t length = 0;
  if (header.size() > kLengthBytes) std::memcpy(&length, header.data(), kLengthBytes);
  if (header.size() <= kLengthBytes || length != header.size() - kLengthBytes)
    return Damaged(path, "the length at byte 0 is not that of the header");
  const absl::StatusOr<SafetensorsHeader> parsed = ParseSafetensorsHeader(
      absl::string_view(header).substr(kLengthBytes), kLengthBytes, layout.bytes() - header.size());
  if (!parsed.ok()) return At(path, parsed.status());
  std::vector<std::pair<std::string, uint64_t>> wanted;
  for (size_t i = 0; i < tensors.size(); ++i) {
    wanted.push_back(
        {tensors[i].name, layout.OffsetOf(static_cast<uint32_t>(i + 1), 0) - header.size()});
  }
  std::sort(wanted.begin(), wanted.end());
  std::vector<std::pair<std::string, uint64_t>> found;
  for (const SafetensorsHeader::Tensor& tensor : parsed->tensors)
    found.push_back({tensor.name, tensor.begin});
  if (found != wanted) return Damaged(path, "the header is of other tensors than the manifest");
  return absl::OkStatus();
}

}  // namespace

std::string CheckpointReader::PathOf(const std::string& file) const {
  return absl::StrCat(directory_, "/", file);
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> CheckpointReader::Open(
    FileSystem* files, const std::string& directory) {
  std::unique_ptr<CheckpointReader> reader(new CheckpointReader(files, directory));
  absl::Status status = reader->ReadManifest();
  if (status.ok()) status = reader->ReadParts();
  if (status.ok()) status = reader->OpenData();
  if (!status.ok()) return status;
  return reader;
}

absl::Status CheckpointReader::ReadManifest() {
  const std::string path = PathOf(kCheckpointManifestFile);
  const absl::StatusOr<std::string> text = ReadWholeFile(files_, path, kMaxCheckpointRecordBytes);
  if (!text.ok()) return text.status();
  absl::StatusOr<CheckpointManifest> manifest = ParseManifest(*text);
  if (!manifest.ok()) return At(path, manifest.status());
  manifest_ = *std::move(manifest);
  absl::StatusOr<std::vector<CheckpointDataFile>> layout =
      MakeCheckpointData(manifest_.name, manifest_.tensors, manifest_.arrays());
  if (!layout.ok()) return Damaged(path, layout.status().message());
  layout_ = *std::move(layout);
  return absl::OkStatus();
}

absl::Status CheckpointReader::ReadParts() {
  for (uint32_t shard = 0; shard < manifest_.parts.size(); ++shard) {
    const std::string path = PathOf(CheckpointPartFile(shard));
    const absl::StatusOr<std::string> text = ReadWholeFile(files_, path, kMaxCheckpointRecordBytes);
    if (absl::IsNotFound(text.status())) return Damaged(path, "is missing");
    if (!text.ok()) return text.status();
    const CheckpointManifest::PartFile& wanted = manifest_.parts[shard];
    if (text->size() != wanted.bytes) {
      return Damaged(path, absl::StrCat("has ", text->size(), " bytes instead of the manifest's ",
                                        wanted.bytes));
    }
    absl::StatusOr<CheckpointPart> part = ParsePart(*text);
    if (!part.ok()) return At(path, part.status());
    if (Crc32c(*text) != wanted.crc)
      return Damaged(path, "is whole, but not the one that the manifest names");
    if (part->shard != shard || part->arrays() != layout_.size())
      return Damaged(path, "is of another shard, or of another optimizer");
    parts_.push_back(*std::move(part));
  }
  absl::StatusOr<CheckpointIndex> index = CheckpointIndex::Make(manifest_.tensors, parts_);
  if (!index.ok()) return At(directory_, index.status());
  index_ = *std::move(index);
  return absl::OkStatus();
}

absl::Status CheckpointReader::OpenData() {
  for (size_t array = 0; array < layout_.size(); ++array) {
    const std::string path = PathOf(kCheckpointDataFiles[array]);
    const CheckpointManifest::DataFile& wanted = manifest_.data[array];
    // The layout's own header may be another one, of another build; its tensors' bytes are not.
    const uint64_t tensor_bytes = layout_[array].bytes() - layout_[array].header().size();
    if (wanted.header_bytes > kMaxSafetensorsHeaderBytes + sizeof(uint64_t) ||
        wanted.bytes - wanted.header_bytes != tensor_bytes) {
      return Damaged(PathOf(kCheckpointManifestFile),
                     absl::StrCat("'data[", array, "]' does not fit the tensors"));
    }
    auto file = files_->OpenForReading(path);
    if (absl::IsNotFound(file.status())) return Damaged(path, "is missing");
    if (!file.ok()) return file.status();
    if ((*file)->size() != wanted.bytes) {
      return Damaged(path, absl::StrCat("has ", (*file)->size(),
                                        " bytes instead of the manifest's ", wanted.bytes));
    }
    std::string header(wanted.header_bytes, '\0');
    absl::Status status = (*file)->ReadAt(0, header.size(), header.data());
    if (!status.ok()) return status;
    if (Crc32c(header) != wanted.header_crc) {
      return Damaged(path, absl::StrCat("the header, bytes 0 to ", header.size(),
                                        ", does not have the CRC that the manifest names"));
    }
    layout_[array].MoveTensors(header.size());
    status = CheckHeader(path, header, layout_[array], manifest_.tensors);
    if (!status.ok()) return status;
    data_.push_back(*std::move(file));
  }
  return absl::OkStatus();
}

// Reads the block whole; what lies within [offset, offset + out.size()) goes to `out`.
absl::Status CheckpointReader::ReadBlock(size_t array, const CheckpointIndex::Entry& entry,
                                         uint64_t offset, absl::Span<float> out,
                                         std::string* buffer) const {
  const CheckpointBlock& block = entry.block;
  const uint64_t begin = layout_[array].OffsetOf(block.tensor_id, block.offset);
  const uint64_t bytes = block.count * sizeof(float);
  // `out` and the block, both in bytes from the tensor's first.
  const uint64_t out_begin = offset * sizeof(float);
  const uint64_t out_end = out_begin + out.size() * sizeof(float);
  const uint64_t block_begin = block.offset * sizeof(float);
  uint32_t crc = 0;
  for (uint64_t at = 0; at < bytes; at += kBufferBytes) {
    const size_t size = static_cast<size_t>(std::min<uint64_t>(kBufferBytes, bytes - at));
    const absl::Status status = data_[array]->ReadAt(begin + at, size, buffer->data());
    if (!status.ok()) return status;
    crc = ExtendCrc32c(crc, buffer->data(), size);
    const uint64_t first = std::max(block_begin + at, out_begin);
    const uint64_t last = std::min(block_begin + at + size, out_end);
    if (first < last) {
      std::memcpy(reinterpret_cast<char*>(out.data()) + (first - out_begin),
                  buffer->data() + (first - block_begin - at), last - first);
    }
  }
  if (crc == block.crc[array]) return absl::OkStatus();
  return Damaged(
      PathOf(kCheckpointDataFiles[array]),
      absl::StrCat("the block at byte ", begin, " (", bytes, " bytes, tensor '",
                   manifest_.tensors[block.tensor_id - 1].name, "' from element ", block.offset,
                   ") does not have the CRC that ", CheckpointPartFile(entry.shard), " names"));
}

absl::Status CheckpointReader::Read(size_t array, uint32_t tensor_id, uint64_t offset,
                                    absl::Span<float> out) const {
  const bool known =
      array < data_.size() && tensor_id >= 1 && tensor_id <= manifest_.tensors.size();
  const uint64_t elements =
      known ? static_cast<uint64_t>(manifest_.tensors[tensor_id - 1].count()) : 0;
  if (!known || offset > elements || out.size() > elements - offset) {
    return absl::InvalidArgumentError(absl::StrCat(directory_, ": there are no elements ", offset,
                                                   " to ", offset + out.size(), " of tensor ",
                                                   tensor_id, " in array ", array));
  }
  if (out.empty()) return absl::OkStatus();
  std::string buffer(kBufferBytes, '\0');
  const auto& entries = index_.Of(tensor_id);
  for (size_t i = index_.Find(tensor_id, offset);
       i < entries.size() && entries[i].block.offset < offset + out.size(); ++i) {
    const absl::Status status = ReadBlock(array, entries[i], offset, out, &buffer);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

std::vector<CheckpointRange> CheckpointReader::Versions(uint32_t tensor_id, uint64_t offset,
                                                        uint64_t count) const {
  std::vector<CheckpointRange> ranges;
  if (count == 0) return ranges;
  const auto& entries = index_.Of(tensor_id);
  for (size_t i = index_.Find(tensor_id, offset);
       i < entries.size() && entries[i].block.offset < offset + count; ++i) {
    const CheckpointBlock& block = entries[i].block;
    const uint64_t begin = std::max(offset, block.offset);
    const uint64_t size = std::min(offset + count, block.offset + block.count) - begin;
    if (!ranges.empty() && ranges.back().version == block.version) {
      ranges.back().count += size;
    } else {
      ranges.push_back({begin, size, block.version});
    }
  }
  return ranges;
}

absl::Status CheckpointReader::Verify(
    const std::function<void(const absl::Status&)>& damaged) const {
  absl::Status first;
  std::string buffer(kBufferBytes, '\0');
  for (size_t array = 0; array < data_.size(); ++array) {
    for (uint32_t id = 1; id <= manifest_.tensors.size(); ++id) {
      for (const CheckpointIndex::Entry& entry : index_.Of(id)) {
        const absl::Status status = ReadBlock(array, entry, 0, {}, &buffer);
        if (!status.ok()) damaged(status);
        first.Update(status);
      }
    }
  }
  return first;
}

absl::StatusOr<FoundCheckpoints> FindCheckpoints(FileSystem* files, const std::string& root) {
  const absl::StatusOr<std::vector<std::string>> directories = files->List(root);
  if (!directories.ok()) return directories.status();
  struct Candidate {
    CheckpointName name;
    bool partial;
  };
  std::vector<Candidate> candidates;
  for (const std::string& directory : *directories) {
    bool partial = false;
    const auto name = ParseCheckpointDirectory(directory, &partial);
    if (name) candidates.push_back({*name, partial});
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return IsOlder(b.name, a.name); });
  FoundCheckpoints found;
  for (const auto& [name, partial] : candidates) {
    const std::string directory = partial ? name.PartialDirectory() : name.Directory();
    const std::string path = absl::StrCat(root, "/", directory);
    absl::Status status = absl::NotFoundError(absl::StrCat(path, ": was not finished"));
    if (!partial) {
      const auto reader = CheckpointReader::Open(files, path);
      status = reader.status();
      if (status.ok() && !((*reader)->manifest().name == name)) {
        status = Damaged(path, absl::StrCat("holds ", (*reader)->manifest().name.Directory()));
      }
    }
    if (status.ok()) {
      found.whole.push_back(name);
    } else {
      found.passed_over.push_back({directory, status});
    }
  }
  return found;
}

absl::StatusOr<std::unique_ptr<CheckpointReader>> OpenNewestCheckpoint(
    FileSystem* files, const std::string& root,
    std::vector<FoundCheckpoints::PassedOver>* passed_over) {
  const absl::StatusOr<FoundCheckpoints> found = FindCheckpoints(files, root);
  if (!found.ok()) return found.status();
  *passed_over = found->passed_over;
  for (const CheckpointName& name : found->whole) {
    auto reader = CheckpointReader::Open(files, absl::StrCat(root, "/", name.Directory()));
    absl::Status status = reader.status();
    if (status.ok()) status = (*reader)->Verify([](const absl::Status&) {});
    if (status.ok()) return reader;
    passed_over->push_back({name.Directory(), status});
  }
  return absl::NotFoundError(absl::StrCat(root, ": holds no whole checkpoint"));
}

}  // namespace weir
