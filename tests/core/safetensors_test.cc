// SPDX-License-Identifier: Apache-2.0
#include "core/safetensors.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "core/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/core/random_floats.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

// A directory of its own for each test, removed at its end.
class SafetensorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "safetensors_test_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    path_ = directory_ + "/model.safetensors";
  }

  void TearDown() override {
    unlink(path_.c_str());
    EXPECT_EQ(rmdir(directory_.c_str()), 0) << "something was left behind in " << directory_;
  }

  // Writes length, header and data as they are.
  void WriteRaw(const std::string& header, const std::string& data) {
    const uint64_t length = header.size();
    std::string content(reinterpret_cast<const char*>(&length), sizeof length);
    WriteFile(content + header + data);
  }

  void WriteFile(const std::string& content) {
    unlink(path_.c_str());  // a new file: ext4 flushes one that is cut to nothing and written again
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << content;
  }

  std::string ReadFile() const {
    std::ostringstream content;
    content << std::ifstream(path_, std::ios::binary).rdbuf();
    return content.str();
  }

  // The file's error; it must be DATA_LOSS and name the file.
  std::string OpenError() {
    const auto file = SafetensorsFile::Open(path_);
    EXPECT_EQ(file.status().code(), absl::StatusCode::kDataLoss) << file.status();
    EXPECT_THAT(std::string(file.status().message()), HasSubstr(path_));
    return std::string(file.status().message());
  }

  std::string directory_;
  std::string path_;
};

TEST_F(SafetensorsTest, WhatIsWrittenIsReadBackInTheOrderOfNames) {
  TestRandom random(1);
  const std::vector<float> weights = random.Floats(6, -1, 1);
  const std::vector<float> bias = random.Floats(3, -1, 1);
  const float scalar[] = {42};
  ASSERT_TRUE(WriteSafetensors(path_,
                               {{"layer/weights", {2, 3}, weights},
                                {"layer/bias", {3}, bias},
                                {"step", {}, scalar},
                                {"empty", {0, 5}, {}},
                                {"na\"me\u00e9", {1, 1, 1}, scalar}},
                               {{"run", "7"}, {"by", "weir"}})
                  .ok());
  const auto file = SafetensorsFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  std::vector<std::string> names;
  for (const SafetensorsEntry& entry : (*file)->tensors()) {
    EXPECT_EQ(entry.dtype, "F32");
    names.push_back(entry.name);
  }
  EXPECT_THAT(names, ElementsAre("empty", "layer/bias", "layer/weights", "na\"me\u00e9", "step"));
  const SafetensorsEntry* entry = (*file)->Find("layer/weights");
  ASSERT_NE(entry, nullptr);
  EXPECT_THAT(entry->shape, ElementsAre(2, 3));
  EXPECT_EQ(entry->elements, 6u);
  ASSERT_EQ(entry->data.size(), 24u);
  EXPECT_EQ(std::memcmp(entry->data.data(), weights.data(), 24), 0);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(entry->data.data()) % 4, 0u);
  EXPECT_THAT((*file)->Find("step")->shape, IsEmpty());
  EXPECT_EQ((*file)->Find("step")->elements, 1u);
  EXPECT_EQ((*file)->Find("empty")->elements, 0u);
  EXPECT_EQ((*file)->Find("layer"), nullptr);
  EXPECT_EQ((*file)->Find("zzz"), nullptr);
  EXPECT_THAT((*file)->metadata(), ElementsAre(Pair("by", "weir"), Pair("run", "7")));
}

TEST_F(SafetensorsTest, OrderGivenChangesNeitherTheFileNorTheDigest) {
  const float a[] = {1, 2};
  const float b[] = {3};
  const WeightsView first{"a", {2}, a};
  const WeightsView second{"b", {1}, b};
  ASSERT_TRUE(WriteSafetensors(path_, {first, second}, {}).ok());
  const std::string content = ReadFile();
  ASSERT_TRUE(WriteSafetensors(path_, {second, first}, {}).ok());
  EXPECT_EQ(ReadFile(), content);
  EXPECT_EQ(WeightsSha256({first, second}), WeightsSha256({second, first}));
  const float all[] = {1, 2, 3};
  Sha256 sha;
  sha.Update(all, sizeof all);
  EXPECT_EQ(WeightsSha256({second, first}), sha.FinishHex());
  EXPECT_EQ(content.size() % 4, 0u);
  EXPECT_EQ((content.size() - sizeof all) % 8, 0u);
}

TEST_F(SafetensorsTest, PythonReadsWhatWeWrite) {
  const char* source = std::getenv("WEIR_SOURCE_DIR");
  ASSERT_NE(source, nullptr) << "run by ctest, or set WEIR_SOURCE_DIR to the source tree";
  const float weights[] = {1, 2, 3, 4, 5, 6.5f};
  const float bias[] = {-1, 0.25f, 8};
  const std::vector<WeightsView> tensors = {{"w", {2, 3}, weights}, {"b", {3}, bias}};
  ASSERT_TRUE(WriteSafetensors(path_, tensors, {{"by", "weir"}}).ok());
  const std::string command =
      absl::StrCat("/usr/bin/python3 ", source, "/tests/core/read_safetensors.py ", path_, " 2>&1");
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  char chunk[4096];
  for (size_t n; (n = fread(chunk, 1, sizeof chunk, pipe)) > 0;) output.append(chunk, n);
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_EQ(output, absl::StrCat("metadata [('by', 'weir')]\n"
                                 "b [3] 7.25\n"
                                 "w [2, 3] 21.5\n"
                                 "sha256 ",
                                 WeightsSha256(tensors), "\n"));
}

TEST_F(SafetensorsTest, WriterRefusesWhatNoFileCanHold) {
  const float x[] = {1, 2};
  const auto refusal = [&](std::vector<WeightsView> tensors) {
    const absl::Status status = WriteSafetensors(path_, std::move(tensors), {});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  };
  EXPECT_THAT(refusal({{"a", {2}, x}, {"a", {2}, x}}), HasSubstr("'a' is given twice"));
  EXPECT_THAT(refusal({{"", {2}, x}}), HasSubstr("may not have that name"));
  EXPECT_THAT(refusal({{"__metadata__", {2}, x}}), HasSubstr("may not have that name"));
  EXPECT_THAT(refusal({{"a", {3}, x}}), HasSubstr("has 2 elements, its shape needs 3"));
  EXPECT_THAT(refusal({{"a", {-2, -1}, x}}), HasSubstr("a shape that no tensor can have"));
  EXPECT_THAT(refusal({{"a", {int64_t{1} << 62, 8}, x}}), HasSubstr("no tensor can have"));
  EXPECT_THAT(refusal({{"\xff", {2}, x}}), HasSubstr("not UTF-8"));
  EXPECT_EQ(access(path_.c_str(), F_OK), -1);
}

TEST_F(SafetensorsTest, MissingDirectoryIsNamed) {
  const absl::Status status = WriteSafetensors(directory_ + "/none/model.safetensors", {}, {});
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("/none/model.safetensors.partial"));
}

TEST_F(SafetensorsTest, FullDiskLeavesTheOldFileAndNothingBeside) {
  const float old[] = {1};
  ASSERT_TRUE(WriteSafetensors(path_, {{"old", {1}, old}}, {}).ok());
  const std::string before = ReadFile();
  const std::vector<float> large(100000);
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  rlimit small = limit;
  small.rlim_cur = 65536;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const absl::Status status = WriteSafetensors(path_, {{"new", {100000}, large}}, {});
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("cannot write"));
  EXPECT_EQ(ReadFile(), before);
}

TEST_F(SafetensorsTest, FileThatIsNotThereOrNotAFileIsToldApart) {
  EXPECT_EQ(SafetensorsFile::Open(path_).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(SafetensorsFile::Open(directory_).status().code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(SafetensorsFile::Open(path_).status().code(), absl::StatusCode::kFailedPrecondition);
}

constexpr char kGood[] = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

TEST_F(SafetensorsTest, HeadersOfOtherWritersAreRead) {
  const std::string data(11, 'x');
  WriteRaw(R"( {"a":{}} )", data);
  EXPECT_THAT(OpenError(), HasSubstr("does not start with '{'"));
  WriteRaw(
      R"({"b" : {"shape":[3],"data_offsets":[8,11],"dtype":"U8"}, "__metadata__":{"format":"pt"},
          "a":{"dtype":"BF16","data_offsets":[0,8],"shape":[2,2]}} )",
      data);
  const auto file = SafetensorsFile::Open(path_);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ((*file)->tensors().size(), 2u);
  EXPECT_EQ((*file)->tensors()[0].dtype, "BF16");
  EXPECT_EQ((*file)->tensors()[1].data.size(), 3u);
  WriteRaw("{}", "");
  EXPECT_TRUE(SafetensorsFile::Open(path_).ok());
}

TEST_F(SafetensorsTest, LengthsThatCannotBeAreRefused) {
  WriteFile("");
  EXPECT_THAT(OpenError(), HasSubstr("has 0 bytes"));
  WriteFile("1234567");
  EXPECT_THAT(OpenError(), HasSubstr("has 7 bytes"));
  WriteFile(std::string("\x10\0\0\0\0\0\0\0{}", 10));
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("16 bytes of header"), HasSubstr("10 bytes in all")));
  WriteFile(std::string("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10));
  EXPECT_THAT(OpenError(), AllOf(HasSubstr("at byte 0"), HasSubstr("the limit is 100000000")));
  WriteFile(std::string("\0\0\0\0\0\0\0\0", 8));
  EXPECT_THAT(OpenError(), HasSubstr("does not start with '{'"));
}

TEST_F(SafetensorsTest, EveryTruncationOfAFileIsNoticed) {
  const float x[] = {1, 2};
  ASSERT_TRUE(WriteSafetensors(path_, {{"a", {2}, x}}, {{"k", "v"}}).ok());
  const std::string content = ReadFile();
  for (size_t size = 0; size < content.size(); ++size) {
    WriteFile(content.substr(0, size));
    EXPECT_THAT(OpenError(), HasSubstr("byte")) << "cut to " << size;
  }
  WriteFile(content + "x");
  EXPECT_THAT(OpenError(), HasSubstr("the tensors end at data offset 8, the file has 9"));
}

struct BadHeader {
  const char* header;
  const char* error;
};

// Each is followed by 8 bytes of data.
constexpr BadHeader kBadHeaders[] = {
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
     R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
     "tensor 'a' twice"},
    {R"({"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
     "tensor 'a': field 'dtype' twice"},
    {R"({"__metadata__":{"k":"1","k":"2"}})", "__metadata__: key 'k' twice"},
    {R"({"__metadata__":{},"__metadata__":{}})", "key '__metadata__' twice"},
    {R"({"__metadata__":{"k":1}})", "__metadata__: a number"},
    {R"({"__metadata__":"text"})", "__metadata__: a string"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}})",
     "tensor 'a': unknown field 'more'"},
    {R"({"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}})", "unknown dtype 'F31'"},
    {R"({"a":{"shape":[2],"data_offsets":[0,8]}})", "needs each of dtype"},
    {R"({"a":{"dtype":"F32","data_offsets":[0,8]}})", "needs each of dtype"},
    {R"({"a":{"dtype":"F32","shape":[2]}})", "needs each of dtype"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", "has 1 numbers instead of 2"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})", "more than 2 numbers"},
    {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "the negative number -2"},
    {R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", "the number '2.0'"},
    {R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", "an array where none belongs"},
    {R"({"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}})", "a number where none belongs"},
    {R"({"a":{"dtype":32,"shape":[2],"data_offsets":[0,8]}})", "a number where none belongs"},
    {R"({"a":{"dtype":null,"shape":[2],"data_offsets":[0,8]}})", "null"},
    {R"({"a":{"dtype":true,"shape":[2],"data_offsets":[0,8]}})", "a boolean"},
    {R"({"a":{"dtype":{},"shape":[2],"data_offsets":[0,8]}})", "an object where none belongs"},
    {R"({"a":[]})", "an array where none belongs"},
    {R"({"a":"b"})", "a string where none belongs"},
    {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})",
     "is too large"},
    {R"({"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}})",
     "not a 64-bit integer"},
    {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}})",
     "number of elements overflows"},
    {R"({"a":{"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]}})",
     "number of bytes overflows"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "end before they begin"},
    {R"({"a":{"dtype":"F32","shape":[3],"data_offsets":[0,12]}})", "reach beyond the file's 8"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]}})",
     "reach beyond the file's 8"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}})",
     "hold 8 bytes, dtype and shape need 4"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "leaving a hole after 0"},
    {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "tensors end at data offset 4"},
    {R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
     R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
     "tensor 'b' begins at data offset 4, leaving a hole after 3"},
    {R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},)"
     R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
     "tensor 'b' begins at data offset 4, inside the tensor that ends at 5"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],)"
     R"("data_offsets":[0,8]}})",
     "tensor 'b' begins at data offset 0, inside the tensor that ends at 8"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})", "bad JSON at byte 61"},
    {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} x)", "bad JSON at byte"},
    {"{\"\xff\":{}}", "bad JSON at byte"},
    {"{", "bad JSON at byte"},
};

TEST_F(SafetensorsTest, DamagedHeadersAreRefusedWithTheReason) {
  for (const BadHeader& bad : kBadHeaders) {
    WriteRaw(bad.header, "12345678");
    EXPECT_THAT(OpenError(), HasSubstr(bad.error)) << bad.header;
  }
  WriteRaw(kGood, "12345678");
  EXPECT_TRUE(SafetensorsFile::Open(path_).ok())
      << "the data of the cases above are not the reason";
}

TEST_F(SafetensorsTest, DeepNestingAndLongTokensAreRefusedInFewWords) {
  WriteRaw(std::string(1000000, '{'), "");
  EXPECT_LT(OpenError().size(), 1000u);
  WriteRaw("{\"a\":" + std::string(1000000, '['), "");
  EXPECT_LT(OpenError().size(), 1000u);
  WriteRaw("{\"" + std::string(1000000, 'n') + "\":7}", "");
  EXPECT_LT(OpenError().size(), 1000u);
  WriteRaw("{\"" + std::string(1000000, 'n'), "");
  EXPECT_LT(OpenError().size(), 1000u);
  std::string shape;
  for (int i = 0; i < 65; ++i) shape += i == 0 ? "1" : ",1";
  WriteRaw(R"({"a":{"dtype":"U8","data_offsets":[0,1],"shape":[)" + shape + "]}}", "x");
  EXPECT_THAT(OpenError(), HasSubstr("more than 64 dimensions"));
}

TEST_F(SafetensorsTest, RandomDamageNeverCrashesNorReachesBeyondTheFile) {
  const float x[] = {1, 2, 3};
  ASSERT_TRUE(WriteSafetensors(path_, {{"a", {2}, {x, 2}}, {"b", {1}, {x, 1}}}, {{"k", "v"}}).ok());
  const std::string good = ReadFile();
  TestRandom random(9);
  int opened = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string bad = good;
    for (uint64_t edits = 1 + random.Below(3); edits > 0; --edits) {
      const size_t at = random.Below(bad.size());
      switch (random.Below(3)) {
        case 0:
          bad[at] = static_cast<char>(random.Next());
          break;
        case 1:
          bad[at] = good[random.Below(good.size())];
          break;
        default:
          bad.erase(at, 1 + random.Below(3));
      }
      if (bad.empty()) break;
    }
    WriteFile(bad);
    const auto file = SafetensorsFile::Open(path_);
    if (!file.ok()) continue;
    ++opened;
    size_t bytes = 0;
    volatile char sink = 0;
    for (const SafetensorsEntry& entry : (*file)->tensors()) {
      for (char c : entry.data) sink = sink + c;
      bytes += entry.data.size();
    }
    EXPECT_LE(bytes, bad.size());
  }
  EXPECT_GT(opened, 0) << "damage to the data alone is not seen";
}

}  // namespace
}  // namespace weir
