// SPDX-License-Identifier: Apache-2.0
#include "net/layout_proto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

using ::testing::HasSubstr;

std::vector<TensorShape> Tensors() {
  return {{"fc1/w", {784, 100}, {InitializerSpec::Kind::kXavierUniform, 0, 0}},
          {"fc1/b", {100}, {InitializerSpec::Kind::kZeros, 0, 0}},
          {"scale", {}, {InitializerSpec::Kind::kConstant, 1.5, 0}},
          {"noise", {3, 4, 5}, {InitializerSpec::Kind::kUniform, -0.25, 0.25}},
          {"he", {16, 16}, {InitializerSpec::Kind::kHeNormal, 0, 0}},
          {"gauss", {7}, {InitializerSpec::Kind::kNormal, 1, 2}}};
}

Layout Sample() {
  absl::StatusOr<Layout> layout = MakeLayout(Tensors(), 4096, 3, 9);
  EXPECT_TRUE(layout.ok()) << layout.status();
  layout->shard_addresses = {
      {"a:1", "/run/a", "here"}, {"b:2", "", "there"}, {"c:3", "/run/c", ""}};
  layout->codecs.resize(6);
  layout->codecs[0] = {Codec::kInt8, Codec::kF16, true};
  layout->codecs[3] = {Codec::kBf16, Codec::kF32, false};
  return *layout;
}

TEST(LayoutProtoTest, ALayoutSurvivesTheWayThereAndBack) {
  const Layout layout = Sample();
  v1::Layout wire;
  ASSERT_TRUE(wire.ParseFromString(ToProto(layout).SerializeAsString()));
  const absl::StatusOr<Layout> read = LayoutFromProto(wire);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->epoch, 9);
  EXPECT_EQ(read->slices, layout.slices);
  EXPECT_EQ(read->shard_addresses, layout.shard_addresses);
  EXPECT_EQ(read->codecs, layout.codecs);
  ASSERT_EQ(read->tensors.size(), layout.tensors.size());
  for (size_t i = 0; i < layout.tensors.size(); ++i) {
    EXPECT_EQ(read->tensors[i].name, layout.tensors[i].name);
    EXPECT_EQ(read->tensors[i].shape, layout.tensors[i].shape);
    EXPECT_EQ(read->tensors[i].initializer, layout.tensors[i].initializer)
        << layout.tensors[i].name;
  }
}

TEST(LayoutProtoTest, InitializersCarryTheirNamesOnTheWire) {
  const v1::Layout wire = ToProto(Sample());
  EXPECT_EQ(wire.tensors(0).initializer().kind(), v1::Initializer::KIND_XAVIER_UNIFORM);
  EXPECT_EQ(wire.tensors(1).initializer().kind(), v1::Initializer::KIND_ZEROS);
  EXPECT_EQ(wire.tensors(2).initializer().kind(), v1::Initializer::KIND_CONSTANT);
  EXPECT_EQ(wire.tensors(2).initializer().a(), 1.5);
  EXPECT_EQ(wire.tensors(3).initializer().kind(), v1::Initializer::KIND_UNIFORM);
  EXPECT_EQ(wire.tensors(3).initializer().b(), 0.25);
  EXPECT_EQ(wire.tensors(4).initializer().kind(), v1::Initializer::KIND_HE_NORMAL);
  EXPECT_EQ(wire.tensors(5).initializer().kind(), v1::Initializer::KIND_NORMAL);
}

TEST(LayoutProtoTest, ATensorWithoutAnInitializerIsZeros) {
  google::protobuf::RepeatedPtrField<v1::TensorSpec> tensors;
  tensors.Add()->set_name("w");
  const auto read = TensorsFromProto(tensors);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ((*read)[0].initializer.kind, InitializerSpec::Kind::kZeros);
}

TEST(LayoutProtoTest, AnInitializerThatIsNotKnownIsNamed) {
  for (const int kind : {7, 99, -1}) {
    google::protobuf::RepeatedPtrField<v1::TensorSpec> tensors;
    tensors.Add()->set_name("w");
    tensors[0].mutable_initializer()->set_kind(static_cast<v1::Initializer::Kind>(kind));
    const absl::Status status = TensorsFromProto(tensors).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr("tensor 'w' asks for an initializer"));
  }
}

TEST(LayoutProtoTest, ADeclarationIsCheckedTensorByTensor) {
  google::protobuf::RepeatedPtrField<v1::TensorSpec> tensors;
  EXPECT_EQ(TensorsFromProto(tensors).status().code(),
            absl::StatusCode::kInvalidArgument);  // none at all
  tensors.Add()->set_name("w");
  tensors[0].add_shape(-3);
  EXPECT_EQ(TensorsFromProto(tensors).status().code(), absl::StatusCode::kInvalidArgument);
  tensors[0].set_shape(0, 3);
  EXPECT_TRUE(TensorsFromProto(tensors).ok());
  tensors.Add()->set_name("w");  // twice
  EXPECT_EQ(TensorsFromProto(tensors).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LayoutProtoTest, TooManyTensorsAreRefused) {
  google::protobuf::RepeatedPtrField<v1::TensorSpec> tensors;
  for (int i = 0; i <= 65'536; ++i) tensors.Add();
  EXPECT_THAT(std::string(TensorsFromProto(tensors).status().message()),
              HasSubstr("65537 tensors; the limit is 65536"));
}

TEST(LayoutProtoTest, ALayoutThatDoesNotCoverItsTensorsIsRefused) {
  v1::Layout wire = ToProto(Sample());
  wire.mutable_slices()->RemoveLast();
  EXPECT_EQ(LayoutFromProto(wire).status().code(), absl::StatusCode::kInvalidArgument);
  wire = ToProto(Sample());
  wire.mutable_slices(0)->set_shard(3);
  EXPECT_EQ(LayoutFromProto(wire).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(LayoutProtoTest, ACodecThatIsLeftOutIsF32AndAnUnknownOneIsNamed) {
  v1::Layout wire = ToProto(Sample());
  wire.mutable_codecs(1)->clear_push();
  auto read = LayoutFromProto(wire);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->codecs[1], TensorCodec());
  for (const int number : {5, 99, 255, 256, -1}) {
    wire.mutable_codecs(1)->set_pull(static_cast<v1::Codec>(number));
    EXPECT_THAT(std::string(LayoutFromProto(wire).status().message()),
                HasSubstr("tensor 'fc1/b' has a codec that is not known here"))
        << number;
  }
}

TEST(LayoutProtoTest, MoreCodecsThanTensorsAreRefused) {
  v1::Layout wire = ToProto(Sample());
  wire.add_codecs();
  EXPECT_EQ(LayoutFromProto(wire).status(),
            absl::InvalidArgumentError("a layout of 6 tensors with the codecs of 7"));
  for (int i = 7; i <= 65'536; ++i) wire.add_codecs();
  EXPECT_EQ(LayoutFromProto(wire).status(),
            absl::InvalidArgumentError("65537 tensors' codecs; the limit is 65536"));
}

TEST(LayoutProtoTest, ShardsMustBeNamedInOrder) {
  v1::Layout wire = ToProto(Sample());
  wire.mutable_shards(1)->set_shard(2);
  EXPECT_EQ(LayoutFromProto(wire).status(),
            absl::InvalidArgumentError("the layout names shard 2 where shard 1 is due"));
}

}  // namespace
}  // namespace weir
