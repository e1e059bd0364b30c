// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_plan.h"

#include <algorithm>
#include <string>
#include <vector>

#include "tools/rest_options.h"

namespace weir {
namespace {

TEST(ComparePlanTest, PlanComesBackFromJson) {
  ComparePlan plan;
  plan.socket = "/tmp/s";
  plan.group = "weir tcp worker";
  plan.profile = "mlp";
  plan.form = "json-base64";
  plan.servers = 2;
  plan.workers = 3;
  plan.ports = {1, 65535};
  const auto back = ComparePlanFromJson(ToJson(plan));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToJson(*back), ToJson(plan));
}

TEST(ComparePlanTest, WhatIsNoPlanIsRefused) {
  const nlohmann::json good = ToJson(ComparePlan{});
  EXPECT_TRUE(ComparePlanFromJson(good).ok());
  for (const auto& [key, value] : std::vector<std::pair<std::string, nlohmann::json>>{
           {"servers", 0}, {"workers", 65}, {"ports", {0}}, {"ports", {70000}}, {"socket", 7}}) {
    nlohmann::json bad = good;
    bad[key] = value;
    EXPECT_EQ(ComparePlanFromJson(bad).status().code(), absl::StatusCode::kInvalidArgument) << key;
  }
  EXPECT_FALSE(ComparePlanFromJson(nlohmann::json::array()).ok());
  EXPECT_FALSE(ReadComparePlan("/nonexistent").ok());
}

TEST(ComparePlanTest, TensorsArePlacedWholeAndByTheirBytes) {
  const LoadProfile profile = *MakeLoadProfile("resnet50");
  const auto places = PlaceTensors(profile, 4);
  ASSERT_TRUE(places.ok()) << places.status();
  std::vector<int64_t> elements(4);
  for (size_t t = 0; t < places->size(); ++t)
    elements[(*places)[t]] += ElementCount(profile.tensors[t].shape);
  const auto [least, most] = std::minmax_element(elements.begin(), elements.end());
  EXPECT_LT(static_cast<double>(*most), 1.01 * static_cast<double>(*least));
}

TEST(CompareOptionsTest, DefaultsAreGoodAndEveryNumberHasARange) {
  EXPECT_TRUE(CheckCompareOptions({}).ok());
  std::vector<CompareOptions> bad(10);
  bad[0].runs = 0;
  bad[1].seconds = 0;
  bad[2].in_flight = {1, 65};
  bad[3].sizes = {{65, 1}};
  bad[4].sizes = {{1, 0}};
  bad[5].transports = {"pigeon"};
  bad[6].forms = {"xml"};
  bad[7].in_flight = {};
  bad[8].profile = "none";
  bad[9].transports = {};
  for (size_t i = 0; i < bad.size(); ++i) {
    EXPECT_EQ(CheckCompareOptions(bad[i]).code(), absl::StatusCode::kInvalidArgument) << i;
  }
}

}  // namespace
}  // namespace weir
