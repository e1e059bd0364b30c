// SPDX-License-Identifier: Apache-2.0
#include "ps/push_ledger.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

using Verdict = PushLedger::Verdict;
using Standing = PushLedger::Standing;

class PushLedgerTest : public testing::Test {
 protected:
  PushLedgerTest() { EXPECT_EQ(ledger.Enter(3, 1), Standing::kCurrent); }
  Verdict Look(uint64_t sequence, uint32_t slice = 0, uint64_t incarnation = 1) {
    return ledger.Look({3, incarnation, sequence}, slice, &outcome);
  }
  void Record(uint64_t sequence, uint32_t slice = 0, uint64_t version = 42) {
    ledger.Record({3, 1, sequence}, slice, 100 + sequence, {Outcome::kApplied, version, ""});
  }

  PushLedger ledger{/*max_workers=*/2, /*max_unconfirmed=*/3};
  PushEnd outcome;
};

TEST_F(PushLedgerTest, PushSentAgainGetsItsFirstAnswer) {
  EXPECT_EQ(Look(7), Verdict::kNew);
  Record(7);
  ASSERT_EQ(Look(7), Verdict::kDuplicate);
  EXPECT_EQ(outcome.outcome, Outcome::kApplied);
  EXPECT_EQ(outcome.version, 42u);
  ledger.Record({3, 1, 7}, 0, 0, {Outcome::kInvalid, 43, "later"});
  ASSERT_EQ(Look(7), Verdict::kDuplicate);
  EXPECT_EQ(outcome.version, 42u);
}

TEST_F(PushLedgerTest, SlicesOfOneSequenceAreRememberedEachOnItsOwn) {
  Record(7, 0);
  EXPECT_EQ(Look(7, 1), Verdict::kNew);
  Record(7, 1, 43);
  ASSERT_EQ(Look(7, 1), Verdict::kDuplicate);
  EXPECT_EQ(outcome.version, 43u);
}

TEST_F(PushLedgerTest, WorkersAreRememberedEachOnItsOwn) {
  ledger.Enter(4, 1);
  Record(7);
  EXPECT_EQ(ledger.Look({4, 1, 7}, 0, &outcome), Verdict::kNew);
}

TEST_F(PushLedgerTest, AConfirmedSequenceIsForgottenAndFencedForEver) {
  Record(7);
  Record(8);
  ledger.Confirm(3, 1, 8);
  EXPECT_EQ(Look(7), Verdict::kFenced);
  EXPECT_EQ(Look(8), Verdict::kDuplicate);
  EXPECT_EQ(ledger.unconfirmed(3), 1u);
  ledger.Confirm(3, 1, 2);  // the floor never falls
  EXPECT_EQ(Look(7), Verdict::kFenced);
  Record(7);  // an outcome that comes after the confirmation takes no memory
  EXPECT_EQ(ledger.unconfirmed(3), 1u);
}

TEST_F(PushLedgerTest, ANewerIncarnationFencesTheOlderOne) {
  Record(7);
  EXPECT_FALSE(ledger.IsFenced(3, 1));
  EXPECT_EQ(ledger.Enter(3, 2), Standing::kCurrent);
  EXPECT_TRUE(ledger.IsFenced(3, 1));
  EXPECT_EQ(Look(7), Verdict::kFenced);
  EXPECT_EQ(Look(9), Verdict::kFenced);
  EXPECT_EQ(ledger.Enter(3, 1), Standing::kFenced);
  EXPECT_EQ(ledger.Enter(3, 2), Standing::kCurrent);
  EXPECT_EQ(ledger.newest(3), 2u);
}

TEST_F(PushLedgerTest, ANewerIncarnationStartsAfreshButLearnsOfItsPredecessorsLastPush) {
  Record(7);
  ledger.Confirm(3, 1, 8);
  ledger.Enter(3, 2);
  EXPECT_EQ(ledger.last(3).sequence, 7u);
  EXPECT_EQ(ledger.last(3).batch, 107u);
  EXPECT_EQ(Look(1, 0, 2), Verdict::kNew);
  ledger.Record({3, 2, 1}, 0, 55, {Outcome::kStale, 1, ""});
  EXPECT_EQ(ledger.last(3).sequence, 1u);
  EXPECT_EQ(ledger.last(3).batch, 55u);
}

TEST_F(PushLedgerTest, ANewerIncarnationMayUseASequenceOfItsPredecessor) {
  Record(7);
  ledger.Enter(3, 2);
  EXPECT_EQ(Look(7, 0, 2), Verdict::kNew);
  EXPECT_EQ(ledger.unconfirmed(3), 0u);
}

TEST_F(PushLedgerTest, AFencedIncarnationRecordsAndConfirmsNothing) {
  ledger.Enter(3, 2);
  Record(7);
  ledger.Confirm(3, 1, 100);
  EXPECT_EQ(ledger.unconfirmed(3), 0u);
  EXPECT_EQ(Look(7, 0, 2), Verdict::kNew);
  EXPECT_EQ(ledger.last(3).sequence, 0u);
}

TEST_F(PushLedgerTest, TheLastSequenceIsTheGreatestNotTheNewest) {
  Record(9);
  Record(8);
  EXPECT_EQ(ledger.last(3).sequence, 9u);
  EXPECT_EQ(ledger.last(3).batch, 109u);
}

TEST_F(PushLedgerTest, AWorkerThatNeverConfirmsIsTold) {
  Record(1);
  Record(2);
  Record(3);
  EXPECT_EQ(Look(4), Verdict::kFull);
  EXPECT_EQ(Look(3), Verdict::kDuplicate);
  ledger.Confirm(3, 1, 2);
  EXPECT_EQ(Look(4), Verdict::kNew);
}

TEST_F(PushLedgerTest, WorkersBeyondTheLimitAreRefused) {
  EXPECT_EQ(ledger.Enter(4, 1), Standing::kCurrent);
  EXPECT_EQ(ledger.Enter(5, 1), Standing::kFull);
  EXPECT_EQ(ledger.Enter(4, 2), Standing::kCurrent);
}

TEST_F(PushLedgerTest, ANewEpochForgetsOutcomesButNotIncarnations) {
  ledger.Enter(3, 5);
  ledger.Record({3, 5, 7}, 0, 1, {Outcome::kApplied, 1, ""});
  ledger.Confirm(3, 5, 7);
  ledger.Forget(/*max_unconfirmed=*/10);
  EXPECT_EQ(Look(7, 0, 5), Verdict::kNew);
  EXPECT_EQ(Look(2, 0, 5), Verdict::kNew);
  EXPECT_EQ(ledger.last(3).sequence, 0u);
  EXPECT_TRUE(ledger.IsFenced(3, 4));
}

TEST_F(PushLedgerTest, AWorkerThatNeverEnteredIsNotKnown) {
  EXPECT_EQ(ledger.newest(9), 0u);
  EXPECT_FALSE(ledger.IsFenced(9, 0));
  EXPECT_EQ(ledger.Look({9, 1, 1}, 0, &outcome), Verdict::kNew);
  ledger.Record({9, 1, 1}, 0, 1, {Outcome::kApplied, 1, ""});
  EXPECT_EQ(ledger.unconfirmed(9), 0u);
}

TEST_F(PushLedgerTest, TheNextBatchIsBehindTheGreatestOfWhichAPushWasAppliedWhoeverHadThePlace) {
  PushLedger ledger(4, 16);
  (void)ledger.Enter(3, 1);
  EXPECT_EQ(ledger.next_batch(3), 0u);
  ledger.Record({3, 1, 1}, 0, /*batch=*/5, {Outcome::kApplied, 1, ""});
  ledger.Record({3, 1, 2}, 0, /*batch=*/6, {Outcome::kStale, 1, ""});
  EXPECT_EQ(ledger.next_batch(3), 6u) << "what was stale did not count";
  (void)ledger.Enter(3, 2);
  EXPECT_EQ(ledger.next_batch(3), 6u) << "a successor goes on there";
  ledger.Record({3, 1, 3}, 0, /*batch=*/9, {Outcome::kApplied, 2, ""});
  EXPECT_EQ(ledger.next_batch(3), 6u) << "of a fenced incarnation";
  ledger.Record({3, 2, 3}, 0, /*batch=*/6, {Outcome::kApplied, 2, ""});
  EXPECT_EQ(ledger.next_batch(3), 7u);
  EXPECT_EQ(ledger.next_batch(4), 0u);
}

}  // namespace
}  // namespace weir
