// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint_records.h"

#include <limits>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "core/sealed_json.h"

namespace weir {
namespace {

using nlohmann::json;

constexpr const char* kPartFormat = "weir-checkpoint-part";
constexpr const char* kManifestFormat = "weir-checkpoint";
constexpr const char* kPartialSuffix = ".partial";
constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kAny32 = std::numeric_limits<uint32_t>::max();
constexpr size_t kMaxTextBytes = 255;                 // job, mode, build
constexpr uint64_t kMaxElements = uint64_t{1} << 40;  // of a tensor
constexpr JsonLimits kLimits = {/*depth=*/4, /*values=*/2'000'000};

// Opens the document and checks that it is one of `format`, in a version that this build reads.
absl::StatusOr<json> OpenRecord(absl::string_view text, const std::string& format) {
  absl::StatusOr<json> document = OpenSealedJson(text, kLimits);
  if (!document.ok()) return document;
  absl::Status status;
  JsonMembers members(*document, "", &status);
  const std::string found = members.Text("format", kMaxTextBytes);
  const uint64_t version = members.Whole("version", kAny);
  if (!status.ok()) return status;
  if (found != format) {
    return absl::DataLossError(
        absl::StrCat("is a '", absl::CHexEscape(found), "', not a '", format, "'"));
  }
  if (version > kCheckpointVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("has format version ", version, ", this build reads up to ",
                     kCheckpointVersion, ": use the newer Weir that wrote it"));
  }
  if (version == 0) return absl::DataLossError("has format version 0, which there never was");
  document->erase("format");
  document->erase("version");
  return document;
}

json RecordOf(const std::string& format, const CheckpointName& name) {
  return {{"format", format},
          {"version", kCheckpointVersion},
          {"cut", name.cut},
          {"epoch", name.epoch}};
}

// The text of `record`, which `parse` must accept: nothing is written that cannot be read.
template <typename Record>
absl::StatusOr<std::string> Finished(const json& record,
                                     absl::StatusOr<Record> (*parse)(absl::string_view)) {
  std::string text;
  try {
    text = SealJson(record);
  } catch (const json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat("holds text that is not UTF-8: ", error.what()));
  }
  if (text.size() > kMaxCheckpointRecordBytes) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "would have ", text.size(), " bytes; the limit is ", kMaxCheckpointRecordBytes));
  }
  const absl::Status status = parse(text).status();
  if (!status.ok()) return absl::InvalidArgumentError(status.message());
  return text;
}

CheckpointName ReadName(JsonMembers* members) {
  CheckpointName name;
  name.cut = members->Whole("cut", kAny);
  name.epoch = members->Whole("epoch", kAny);
  return name;
}

json ToJson(const CheckpointBlock& block, size_t arrays) {
  json item = {block.tensor_id, block.offset, block.count, block.version};
  for (size_t array = 0; array < arrays; ++array) item.push_back(block.crc[array]);
  return item;
}

CheckpointBlock ReadBlock(const json& item, const std::string& path, size_t arrays,
                          absl::Status* status) {
  constexpr size_t kFixed = 4;
  CheckpointBlock block;
  if (!item.is_array() || item.size() != kFixed + arrays) {
    *status = absl::DataLossError(
        absl::StrCat("'", path, "' is no array of ", kFixed + arrays, " numbers"));
    return block;
  }
  block.tensor_id = static_cast<uint32_t>(WholeNumber(item[0], path, kMaxTensors, status));
  block.offset = WholeNumber(item[1], path, kMaxElements, status);
  block.count = WholeNumber(item[2], path, kMaxElements, status);
  block.version = WholeNumber(item[3], path, kAny, status);
  for (size_t array = 0; array < arrays; ++array) {
    block.crc[array] =
        static_cast<uint32_t>(WholeNumber(item[kFixed + array], path, kAny32, status));
  }
  if (status->ok() && (block.tensor_id == 0 || block.count == 0))
    *status = absl::DataLossError(absl::StrCat("'", path, "' is of no tensor, or empty"));
  return block;
}

CheckpointWorker ReadWorker(const json& item, const std::string& path, absl::Status* status) {
  JsonMembers members(item, path, status);
  CheckpointWorker worker;
  worker.rank = static_cast<uint32_t>(members.Whole("rank", kAny32));
  worker.incarnation = members.Whole("incarnation", kAny);
  worker.next_batch = members.Whole("next_batch", kAny);
  worker.clock = members.Whole("clock", kAny);
  worker.state = members.Bytes("state", kMaxWorkerStateBytes);
  members.Finish();
  return worker;
}

json ToJson(const OptimizerSpec& spec) {
  return {{"type", std::string(OptimizerName(spec.type))},
          {"learning_rate", spec.learning_rate},
          {"momentum", spec.momentum},
          {"beta1", spec.beta1},
          {"beta2", spec.beta2},
          {"epsilon", spec.epsilon},
          {"decay", spec.decay},
          {"weight_decay", spec.weight_decay},
          {"clip_value", spec.clip_value}};
}

OptimizerSpec ReadOptimizer(const json& object, absl::Status* status) {
  JsonMembers members(object, "optimizer", status);
  OptimizerSpec spec;
  const absl::StatusOr<OptimizerType> type =
      ParseOptimizerType(members.Text("type", kMaxTextBytes));
  spec.learning_rate = members.Real("learning_rate");
  spec.momentum = members.Real("momentum");
  spec.beta1 = members.Real("beta1");
  spec.beta2 = members.Real("beta2");
  spec.epsilon = members.Real("epsilon");
  spec.decay = members.Real("decay");
  spec.weight_decay = members.Real("weight_decay");
  spec.clip_value = members.Real("clip_value");
  members.Finish();
  if (!status->ok()) return spec;
  absl::Status valid = type.status();
  if (type.ok()) {
    spec.type = *type;
    valid = Validate(spec);
  }
  if (!valid.ok()) *status = absl::DataLossError(absl::StrCat("'optimizer': ", valid.message()));
  return spec;
}

std::vector<TensorShape> ReadTensors(const json& items, JsonMembers* document,
                                     absl::Status* status) {
  std::vector<TensorShape> tensors;
  for (const json& item : items) {
    const std::string path = document->PathOf("tensors", tensors.size());
    JsonMembers members(item, path, status);
    TensorShape tensor;
    tensor.name = members.Text("name", kMaxNameBytes);
    for (const json& size : members.Array("shape", kMaxDimensions))
      tensor.shape.push_back(static_cast<int64_t>(WholeNumber(size, path, kMaxElements, status)));
    members.Finish();
    tensors.push_back(std::move(tensor));
  }
  if (!status->ok()) return tensors;
  const absl::Status valid = ValidateTensors(tensors);
  if (!valid.ok()) *status = absl::DataLossError(absl::StrCat("'tensors': ", valid.message()));
  return tensors;
}

void ReadFiles(JsonMembers* document, absl::Status* status, CheckpointManifest* manifest) {
  for (const json& item : document->Array("data", kMaxCheckpointArrays)) {
    JsonMembers members(item, document->PathOf("data", manifest->data.size()), status);
    CheckpointManifest::DataFile file;
    file.bytes = members.Whole("bytes", kAny);
    file.header_bytes = members.Whole("header_bytes", file.bytes);
    file.header_crc = static_cast<uint32_t>(members.Whole("header_crc", kAny32));
    members.Finish();
    manifest->data.push_back(file);
  }
  for (const json& item : document->Array("parts", kMaxCheckpointShards)) {
    JsonMembers members(item, document->PathOf("parts", manifest->parts.size()), status);
    CheckpointManifest::PartFile file;
    file.bytes = members.Whole("bytes", kMaxCheckpointRecordBytes);
    file.crc = static_cast<uint32_t>(members.Whole("crc", kAny32));
    members.Finish();
    manifest->parts.push_back(file);
  }
  if (!status->ok()) return;
  if (manifest->data.size() != manifest->arrays()) {
    *status = absl::DataLossError(absl::StrCat("'data' has ", manifest->data.size(),
                                               " files, the optimizer needs ", manifest->arrays()));
  } else if (manifest->parts.empty()) {
    *status = absl::DataLossError("'parts' is empty");
  }
}

}  // namespace

std::string CheckpointPartFile(uint32_t shard) { return absl::StrFormat("shard-%05d.json", shard); }

std::string CheckpointName::Directory() const {
  return absl::StrFormat("step-%012d.e%d", cut, epoch);
}

std::string CheckpointName::PartialDirectory() const {
  return absl::StrCat(Directory(), kPartialSuffix);
}

std::optional<CheckpointName> ParseCheckpointDirectory(absl::string_view directory, bool* partial) {
  absl::string_view rest = directory;
  *partial = absl::ConsumeSuffix(&rest, kPartialSuffix);
  const absl::string_view whole = rest;
  const size_t dot = rest.find(".e");
  if (!absl::ConsumePrefix(&rest, "step-") || dot == absl::string_view::npos) return std::nullopt;
  CheckpointName name;
  if (!absl::SimpleAtoi(whole.substr(5, dot - 5), &name.cut) ||
      !absl::SimpleAtoi(whole.substr(dot + 2), &name.epoch) || name.Directory() != whole) {
    return std::nullopt;
  }
  return name;
}

absl::StatusOr<std::string> FormatPart(const CheckpointPart& part) {
  json record = RecordOf(kPartFormat, part.name);
  record["shard"] = part.shard;
  record["shards"] = part.shards;
  record["mode"] = part.mode;
  record["headers"] = part.header_crc;
  json& blocks = record["blocks"] = json::array();
  for (const CheckpointBlock& block : part.blocks) blocks.push_back(ToJson(block, part.arrays()));
  json& workers = record["workers"] = json::array();
  for (const CheckpointWorker& worker : part.workers) {
    workers.push_back({{"rank", worker.rank},
                       {"incarnation", worker.incarnation},
                       {"next_batch", worker.next_batch},
                       {"clock", worker.clock},
                       {"state", absl::Base64Escape(worker.state)}});
  }
  return Finished(record, &ParsePart);
}

absl::StatusOr<CheckpointPart> ParsePart(absl::string_view text) {
  const absl::StatusOr<json> document = OpenRecord(text, kPartFormat);
  if (!document.ok()) return document.status();
  absl::Status status;
  JsonMembers members(*document, "", &status);
  CheckpointPart part;
  part.name = ReadName(&members);
  part.shards = static_cast<uint32_t>(members.Whole("shards", kMaxCheckpointShards));
  part.shard = static_cast<uint32_t>(members.Whole("shard", kMaxCheckpointShards));
  part.mode = members.Text("mode", kMaxTextBytes);
  for (const json& crc : members.Array("headers", kMaxCheckpointArrays)) {
    part.header_crc.push_back(static_cast<uint32_t>(WholeNumber(crc, "headers", kAny32, &status)));
  }
  for (const json& item : members.Array("blocks", kMaxSlices)) {
    part.blocks.push_back(
        ReadBlock(item, members.PathOf("blocks", part.blocks.size()), part.arrays(), &status));
    if (!status.ok()) return status;
  }
  for (const json& item : members.Array("workers", kMaxCheckpointWorkers)) {
    part.workers.push_back(
        ReadWorker(item, members.PathOf("workers", part.workers.size()), &status));
  }
  members.Finish();
  if (!status.ok()) return status;
  if (part.shard >= part.shards || part.header_crc.empty()) {
    return absl::DataLossError(absl::StrCat("is of shard ", part.shard, " of ", part.shards,
                                            " with ", part.arrays(), " data files"));
  }
  return part;
}

absl::StatusOr<std::string> FormatManifest(const CheckpointManifest& manifest) {
  json record = RecordOf(kManifestFormat, manifest.name);
  record["job"] = manifest.job;
  record["mode"] = manifest.mode;
  record["step"] = manifest.step;
  record["gradient_shards"] = manifest.gradient_shards;
  record["seed"] = manifest.seed;
  record["slice_bytes"] = manifest.slice_bytes;
  record["optimizer"] = ToJson(manifest.optimizer);
  record["build"] = manifest.build;
  record["unix_ms"] = manifest.unix_ms;
  record["coordinator"] = absl::Base64Escape(manifest.coordinator);
  json& tensors = record["tensors"] = json::array();
  for (const TensorShape& tensor : manifest.tensors)
    tensors.push_back({{"name", tensor.name}, {"shape", tensor.shape}});
  json& data = record["data"] = json::array();
  for (const CheckpointManifest::DataFile& file : manifest.data) {
    data.push_back({{"bytes", file.bytes},
                    {"header_bytes", file.header_bytes},
                    {"header_crc", file.header_crc}});
  }
  json& parts = record["parts"] = json::array();
  for (const CheckpointManifest::PartFile& file : manifest.parts)
    parts.push_back({{"bytes", file.bytes}, {"crc", file.crc}});
  return Finished(record, &ParseManifest);
}

absl::StatusOr<CheckpointManifest> ParseManifest(absl::string_view text) {
  const absl::StatusOr<json> document = OpenRecord(text, kManifestFormat);
  if (!document.ok()) return document.status();
  absl::Status status;
  JsonMembers members(*document, "", &status);
  CheckpointManifest manifest;
  manifest.name = ReadName(&members);
  manifest.job = members.Text("job", kMaxTextBytes);
  manifest.mode = members.Text("mode", kMaxTextBytes);
  manifest.step = members.Whole("step", kAny);
  manifest.gradient_shards = static_cast<uint32_t>(members.Whole("gradient_shards", kAny32));
  manifest.seed = members.Whole("seed", kAny);
  manifest.slice_bytes = members.Whole("slice_bytes", kAny);
  manifest.optimizer = ReadOptimizer(members.Object("optimizer"), &status);
  manifest.build = members.Text("build", kMaxTextBytes);
  manifest.unix_ms = members.Whole("unix_ms", kAny);
  manifest.coordinator = members.Bytes("coordinator", kMaxCoordinatorBytes);
  manifest.tensors = ReadTensors(members.Array("tensors", kMaxTensors), &members, &status);
  ReadFiles(&members, &status, &manifest);
  members.Finish();
  if (!status.ok()) return status;
  return manifest;
}

}  // namespace weir
