// SPDX-License-Identifier: Apache-2.0
#include "worker/request_table.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <vector>

namespace weir {
namespace {

ClientRequest OfSlice(size_t slice) {
  ClientRequest request;
  request.order = slice;
  return request;
}

TEST(RequestTableTest, FindsWhatWasAddedUntilItIsErased) {
  RequestTable table;
  table.Add(7, OfSlice(70));
  table.Add(9, OfSlice(90));
  EXPECT_EQ(table.size(), 2u);
  EXPECT_EQ(table.at(7).order, 70u);
  EXPECT_EQ(table.Find(8), nullptr);
  table.Erase(7);
  EXPECT_EQ(table.Find(7), nullptr);
  EXPECT_EQ(table.Find(9)->order, 90u);
  EXPECT_EQ(table.size(), 1u);
}

TEST(RequestTableTest, RequestInAUsedSlotIsAnotherOne) {
  RequestTable table;
  ClientRequest first = OfSlice(1);
  first.answered = {3};
  first.orphan = true;
  table.Add(1, first);
  table.Erase(1);
  table.Add(2, OfSlice(2));
  EXPECT_EQ(table.Find(1), nullptr);
  EXPECT_TRUE(table.at(2).answered.empty());
  EXPECT_FALSE(table.at(2).orphan);
}

TEST(RequestTableTest, ReferenceStaysValidWhileOthersComeAndGo) {
  RequestTable table;
  ClientRequest* const kept = &table.Add(1, OfSlice(1));
  for (uint64_t name = 2; name < 5000; ++name) table.Add(name, OfSlice(name));
  for (uint64_t name = 2; name < 5000; ++name) table.Erase(name);
  EXPECT_EQ(table.Find(1), kept);
  EXPECT_EQ(kept->order, 1u);
}

TEST(RequestTableTest, VisitsEachOnceAndNoneAfterClear) {
  RequestTable table;
  for (uint64_t name = 1; name <= 10; ++name) table.Add(name, OfSlice(name));
  for (uint64_t name = 2; name <= 10; name += 2) table.Erase(name);
  table.Add(11, OfSlice(11));
  std::map<uint64_t, size_t> seen;
  table.ForEach([&](uint64_t name, const ClientRequest& request) { seen[name] += request.order; });
  EXPECT_EQ(seen, (std::map<uint64_t, size_t>{{1, 1}, {3, 3}, {5, 5}, {7, 7}, {9, 9}, {11, 11}}));
  table.Clear();
  table.ForEach([](uint64_t name, const ClientRequest&) { ADD_FAILURE() << name; });
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.Add(12, OfSlice(12)).order, 12u);
}

}  // namespace
}  // namespace weir
