// SPDX-License-Identifier: Apache-2.0
#include "tests/net/frame_samples.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <memory>
#include <vector>

namespace weir::testing {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

size_t Below(Random& random, size_t limit) { return static_cast<size_t>(random() % limit); }

uint64_t Number(Random& random) {
  return Below(random, 4) == 0 ? 0 : random() >> Below(random, 64);
}

std::string Text(Random& random) {
  static const char kLetters[] = "abcdefghijklmnopqrstuvwxyz/._-0123456789";
  std::string text(Below(random, 30), 'x');
  for (char& c : text) c = kLetters[Below(random, sizeof(kLetters) - 1)];
  return text;
}

std::string Bytes(Random& random, size_t max) {
  std::string bytes(Below(random, max), '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

void FillScalar(Random& random, const FieldDescriptor* field, Message* message) {
  const Reflection* reflection = message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT64:
      return reflection->SetUInt64(message, field, Number(random));
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection->SetUInt32(message, field, static_cast<uint32_t>(Number(random)));
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->SetBool(message, field, Below(random, 2) == 0);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return reflection->SetDouble(message, field,
                                   static_cast<double>(static_cast<int64_t>(Number(random))) / 7);
    case FieldDescriptor::CPPTYPE_ENUM:
      return reflection->SetEnumValue(message, field, static_cast<int>(Below(random, 256)));
    case FieldDescriptor::CPPTYPE_STRING:
      if (field->type() == FieldDescriptor::TYPE_STRING)
        return reflection->SetString(message, field, Text(random));
      return reflection->SetString(
          message, field,
          Bytes(random, field->number() == 2047 && Below(random, 8) == 0 ? 100'000 : 100));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return FillAtRandom(random, reflection->MutableMessage(message, field));
    default:
      std::abort();  // a type that the wire does not use yet
  }
}

void AddRepeated(Random& random, const FieldDescriptor* field, Message* message) {
  const Reflection* reflection = message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_UINT32:
      return reflection->AddUInt32(message, field, static_cast<uint32_t>(Number(random)));
    case FieldDescriptor::CPPTYPE_INT64:
      return reflection->AddInt64(message, field, static_cast<int64_t>(Number(random)));
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection->AddString(message, field, Text(random));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return FillAtRandom(random, reflection->AddMessage(message, field));
    default:
      std::abort();
  }
}

// One field as it lies on the wire.
struct Record {
  uint32_t tag;
  std::string content;  // without tag and length
};

int NumberOf(const Record& record) { return WireFormatLite::GetTagFieldNumber(record.tag); }
bool IsDelimited(const Record& record) {
  return WireFormatLite::GetTagWireType(record.tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
}

void PutVarint(Random& random, uint64_t value, std::string* out) {
  size_t bytes = 1;
  for (uint64_t rest = value >> 7; rest != 0; rest >>= 7) ++bytes;
  // A longer form than needed is legal; tags are spared, of which five bytes are the most.
  if (Below(random, 8) == 0) bytes = std::min<size_t>(bytes + Below(random, 3), 10);
  for (size_t i = 0; i < bytes; ++i, value >>= 7) {
    out->push_back(static_cast<char>((value & 0x7f) | (i + 1 < bytes ? 0x80 : 0)));
  }
}

void PutTag(uint32_t tag, std::string* out) {
  for (; tag >= 0x80; tag >>= 7) out->push_back(static_cast<char>(tag | 0x80));
  out->push_back(static_cast<char>(tag));
}

std::vector<Record> Split(const std::string& wire) {
  std::vector<Record> records;
  CodedInputStream in(reinterpret_cast<const uint8_t*>(wire.data()), static_cast<int>(wire.size()));
  while (const uint32_t tag = in.ReadTag()) {
    Record record{tag, ""};
    if (IsDelimited(record)) {
      uint32_t size = 0;
      in.ReadVarint32(&size);
      in.ReadString(&record.content, static_cast<int>(size));
    } else {
      const int start = in.CurrentPosition();
      WireFormatLite::SkipField(&in, tag);
      record.content = wire.substr(start, in.CurrentPosition() - start);
    }
    records.push_back(std::move(record));
  }
  return records;
}

std::string Join(Random& random, const std::vector<Record>& records) {
  std::string out;
  for (const Record& record : records) {
    PutTag(record.tag, &out);
    if (IsDelimited(record)) PutVarint(random, record.content.size(), &out);
    out += record.content;
  }
  return out;
}

// The numbers of a packed field, each as a field of its own.
std::vector<Record> Unpack(const Record& packed) {
  std::vector<Record> out;
  CodedInputStream in(reinterpret_cast<const uint8_t*>(packed.content.data()),
                      static_cast<int>(packed.content.size()));
  uint64_t value = 0;
  int start = 0;
  while (in.ReadVarint64(&value)) {
    out.push_back({static_cast<uint32_t>(NumberOf(packed)) << 3,
                   packed.content.substr(start, in.CurrentPosition() - start)});
    start = in.CurrentPosition();
  }
  return out;
}

std::vector<Record> ScrambleField(Random& random, const Record& record,
                                  const FieldDescriptor* field) {
  if (field->is_packed() && Below(random, 2) == 0) return Unpack(record);
  if (field->type() != FieldDescriptor::TYPE_MESSAGE) {
    if (field->is_repeated() || Below(random, 4) != 0) return {record};
    // Sent twice: the last one counts. The first is the default.
    Record first = record;
    if (IsDelimited(record))
      first.content.clear();
    else if (WireFormatLite::GetTagWireType(record.tag) == WireFormatLite::WIRETYPE_VARINT)
      first.content = std::string(1, '\0');
    return {first, record};
  }
  const auto* factory = google::protobuf::MessageFactory::generated_factory();
  const Message* like =
      const_cast<google::protobuf::MessageFactory*>(factory)->GetPrototype(field->message_type());
  if (!field->is_repeated() && Below(random, 3) == 0) {
    // In two parts, which the reader merges.
    const std::vector<Record> inner = Split(record.content);
    const size_t cut = Below(random, inner.size() + 1);
    const std::string head = Join(random, {inner.begin(), inner.begin() + cut});
    const std::string tail = Join(random, {inner.begin() + cut, inner.end()});
    return {{record.tag, Scramble(random, head, *like)},
            {record.tag, Scramble(random, tail, *like)}};
  }
  return {{record.tag, Scramble(random, record.content, *like)}};
}

}  // namespace

void FillAtRandom(Random& random, Message* message) {
  const auto* descriptor = message->GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (field->containing_oneof() != nullptr) continue;
    if (field->is_repeated()) {
      for (size_t n = Below(random, 5); n > 0; --n) AddRepeated(random, field, message);
    } else {
      FillScalar(random, field, message);
    }
  }
  if (descriptor->oneof_decl_count() > 0) {
    const auto* oneof = descriptor->oneof_decl(0);
    const FieldDescriptor* kind = nullptr;
    do {
      kind = oneof->field(static_cast<int>(Below(random, oneof->field_count())));
    } while (kind->name() == "batch");
    FillScalar(random, kind, message);
    if (kind->name() == "push_pull") {  // which always wants values
      Message* push_pull = message->GetReflection()->MutableMessage(message, kind);
      const FieldDescriptor* push_field = push_pull->GetDescriptor()->FindFieldByName("push");
      Message* push = push_pull->GetReflection()->MutableMessage(push_pull, push_field);
      push->GetReflection()->SetBool(push, push->GetDescriptor()->FindFieldByName("want_values"),
                                     true);
    }
  }
}

std::string Scramble(Random& random, const std::string& wire, const Message& like) {
  std::vector<std::vector<Record>> groups;
  for (const Record& record : Split(wire)) {
    const FieldDescriptor* field = like.GetDescriptor()->FindFieldByNumber(NumberOf(record));
    groups.push_back(ScrambleField(random, record, field));
  }
  // Fields that nobody knows yet; of a frame's own, those below its kinds.
  for (size_t n = Below(random, 3); n > 0; --n) {
    const uint32_t number = like.GetDescriptor()->oneof_decl_count() > 0 ? 6 + Below(random, 10)
                                                                         : 100 + Below(random, 100);
    if (Below(random, 2) == 0)
      groups.push_back({{number << 3 | 2, Bytes(random, 20)}});
    else
      groups.push_back({{number << 3, std::string("\x96\x01", 2)}});
  }
  std::shuffle(groups.begin(), groups.end(), random);
  std::vector<Record> records;
  for (const auto& group : groups) records.insert(records.end(), group.begin(), group.end());
  return Join(random, records);
}

Payload Whole(const std::string& bytes) {
  Payload payload;
  auto owner = std::make_shared<std::string>(bytes);
  payload.Append(owner->data(), owner->size(), owner);
  return payload;
}

Payload Chop(Random& random, const std::string& bytes) {
  Payload payload;
  const size_t longest = size_t{1} << Below(random, 17);
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = std::min(bytes.size() - at, 1 + Below(random, longest));
    auto owner = std::make_shared<std::string>(bytes.substr(at, size));
    payload.Append(owner->data(), size, owner);
    at += size;
  }
  return payload;
}

std::string Flatten(const Payload& payload) {
  std::string out;
  for (const Payload::Chunk& chunk : payload.chunks()) out.append(chunk.data, chunk.size);
  return out;
}

}  // namespace weir::testing
