// SPDX-License-Identifier: Apache-2.0
// How the client connects, says who it is, comes back, and is told to stop.
#include "tests/worker/client_harness.h"

namespace weir {
namespace {

class ClientSessionTest : public ClientHarness {};

TEST_F(ClientSessionTest, HelloSaysWhoTheWorkerIsAndTheBindFollows) {
  options_.job_token = "secret";
  options_.worker_id = 3;
  options_.incarnation = 7;
  options_.session_nonce = 40;
  Create();
  SetLayout(5);
  EXPECT_TRUE(sent_[0].empty()) << "nothing may be sent before the connection stands";
  Connected(0);
  uint64_t id = 0;
  const ClientFrame frame = Next(0);
  EXPECT_EQ(frame.epoch, 5u);
  const HelloFrame& hello = std::get<HelloFrame>(frame.kind);
  EXPECT_EQ(hello.job_id, std::string(16, 'j'));
  EXPECT_EQ(hello.job_token, "secret");
  EXPECT_EQ(hello.worker_id, 3u);
  EXPECT_EQ(hello.incarnation, 7u);
  EXPECT_EQ(hello.session_nonce, 40u);
  EXPECT_EQ(hello.shard, 0u);
  HelloReplyFrame reply = hello_;
  Answer(0, frame.request_id, reply);
  NextAs<BindFrame>(0, &id);
}

TEST_F(ClientSessionTest, CallsMadeBeforeTheLayoutWaitForIt) {
  Create();
  const uint64_t call = Pull({{1, ViewB()}});
  EXPECT_EQ(client_->WaitsFor(), "waits for the layout");
  SetLayout(1);
  Greet(0);
  EXPECT_TRUE(sent_[0].empty())
      << "a sequence is only known when every shard has said what it remembers";
  EXPECT_EQ(client_->WaitsFor(), "waits for shard 1 (host1:1): connecting");
  Greet(1);
  AnswerPull(0, 0, 2);
  EXPECT_TRUE(Value<PullResult>(call).tensors.size() == 1);
}

TEST_F(ClientSessionTest, LostConnectionIsMadeAgainLaterEachTime) {
  Start();
  absl::Duration least = absl::Milliseconds(25);
  for (int failure = 0; failure < 4; ++failure) {
    const int before = connects_;
    Disconnect(0);
    Advance(least - absl::Milliseconds(1));
    EXPECT_EQ(connects_, before) << "too early";
    Advance(least + absl::Milliseconds(1));
    EXPECT_EQ(connects_, before + 1) << "too late";
    least *= 2;
  }
}

TEST_F(ClientSessionTest, NewSessionOfAReconnectHasAGreaterNonce) {
  Create();
  SetLayout(1);
  Connected(0);
  const uint64_t first = std::get<HelloFrame>(Next(0).kind).session_nonce;
  Disconnect(0);
  Advance(absl::Seconds(1));
  Connected(0);
  EXPECT_GT(std::get<HelloFrame>(Next(0).kind).session_nonce, first);
}

TEST_F(ClientSessionTest, ShardThatNeverAnswersHelloIsConnectedToAnew) {
  Create();
  SetLayout(1);
  Connected(0);
  const uint64_t connection = connections_[0];
  Advance(absl::Milliseconds(10500));
  EXPECT_NE(connections_[0], connection);
  ASSERT_FALSE(disconnected_.empty());
  EXPECT_EQ(disconnected_[0], connection);
}

TEST_F(ClientSessionTest, ShardThatHoldsOtherSlicesThanTheLayoutIsNotSpokenTo) {
  Create();
  SetLayout(1);
  Connected(0);
  Answer(0, Next(0).request_id, hello_);
  BindReplyFrame bound;
  bound.bindings = {{"a", 1, {8}}, {"b", 2, {4}}};
  bound.slices = {{1, 0, 8, 0}};
  Answer(0, Next(0).request_id, bound);
  Greet(1);
  const uint64_t call = Pull({{0, ViewA()}});
  EXPECT_EQ(client_->WaitsFor(),
            "waits for shard 0 (host0:1): it holds other slices than the layout says");
  Advance(absl::Seconds(61));
  EXPECT_EQ(Code(call), StatusCode::kDeadlineExceeded);
}

TEST_F(ClientSessionTest, LayoutOfManyNamesIsBoundInPiecesThatFitAFrame) {
  hello_.max_frame_bytes = 100;  // too few for two names
  Create();
  SetLayout(1);
  Connected(0);
  Answer(0, Next(0).request_id, hello_);
  uint64_t id = 0;
  EXPECT_EQ(NextAs<BindFrame>(0, &id).layer_names, std::vector<std::string>{"a"});
  BindReplyFrame bound;
  bound.bindings = {{"a", 1, {8}}};
  bound.slices = {{1, 0, 4, 0}};
  Answer(0, id, ErrorReplyFrame{Outcome::kOverloaded, "not ready"});
  Advance(absl::Milliseconds(51));
  EXPECT_EQ(NextAs<BindFrame>(0, &id).layer_names, std::vector<std::string>{"a"});
  Answer(0, id, bound);
  EXPECT_EQ(NextAs<BindFrame>(0, &id).layer_names, std::vector<std::string>{"b"});
  bound.bindings = {{"b", 2, {4}}};
  bound.slices = {{2, 0, 4, 0}};
  Answer(0, id, bound);
  hello_.max_frame_bytes = 4 << 20;
  Greet(1);
  Pull({{1, ViewB()}});
  AnswerPull(0, 0, 2);
  // A new connection begins with the first name again; a piece that answers another is refused.
  hello_.max_frame_bytes = 100;
  Disconnect(0);
  Advance(absl::Seconds(1));
  Connected(0);
  Answer(0, Next(0).request_id, hello_);
  EXPECT_EQ(NextAs<BindFrame>(0, &id).layer_names, std::vector<std::string>{"a"});
  disconnected_.clear();
  Answer(0, id, bound);
  EXPECT_EQ(disconnected_.size(), 1u);
}

TEST_F(ClientSessionTest, ShardThatIsStillFillingItsWeightsIsBoundLater) {
  Create();
  SetLayout(1);
  Connected(0);
  Answer(0, Next(0).request_id, hello_);
  Answer(0, Next(0).request_id, ErrorReplyFrame{Outcome::kOverloaded, "not ready"});
  EXPECT_TRUE(sent_[0].empty());
  Advance(absl::Milliseconds(51));
  AnswerBind(0);
  Greet(1);
  Pull({{1, ViewB()}});
  EXPECT_EQ(sent_[0].size(), 1u);
}

TEST_F(ClientSessionTest, ServerThatRefusesTheWorkerEndsEveryCallWithItsSentence) {
  const std::string sentence = "the token is not this job's";
  for (const absl::Status& why :
       {absl::UnauthenticatedError(sentence), absl::FailedPreconditionError(sentence),
        absl::PermissionDeniedError(sentence), absl::UnimplementedError(sentence)}) {
    Start();
    disconnected_.clear();
    const uint64_t call = Pull({{1, ViewB()}});
    Disconnect(0, why);
    EXPECT_EQ(Code(call), StatusCode::kFailedPrecondition);
    EXPECT_EQ(Message(call), "shard 0 (host0:1) refuses: " + sentence);
    const uint64_t later = Pull({{1, ViewB()}});
    EXPECT_EQ(Code(later), StatusCode::kFailedPrecondition);
    EXPECT_EQ(disconnected_.size(), 1u) << "the other shard's connection is closed";
  }
}

TEST_F(ClientSessionTest, ShardThatIsNotHereYetIsTriedAgain) {
  Create();
  SetLayout(1);
  const uint64_t call = Pull({{1, ViewB()}});
  Disconnect(0, absl::UnavailableError("shard 0 is not here (yet)"));
  EXPECT_FALSE(Done(call));
  EXPECT_EQ(client_->WaitsFor(), "waits for shard 0 (host0:1): shard 0 is not here (yet)");
  Advance(absl::Seconds(1));
  Greet(0);
  Greet(1);
  AnswerPull(0, 0, 2);
  EXPECT_EQ(Code(call), StatusCode::kOk);
}

TEST_F(ClientSessionTest, CreditsOfALostConnectionAreNotOwedToTheNext) {
  hello_.max_requests = 1;
  hello_.max_push_bytes = 16;
  Start();
  const uint64_t call = PushB();
  Disconnect(0);
  Advance(absl::Seconds(1));
  Greet(0);
  ASSERT_EQ(sent_[0].size(), 1u);
  uint64_t id = 0;
  const PushFrame push = NextAs<PushFrame>(0, &id);
  Answer(0, id, Outcomes(push, Outcome::kApplied, 1));
  EXPECT_TRUE(Done(call));
}

TEST_F(ClientSessionTest, TicketsOfAnOlderEpochAreForgotten) {
  Start();
  PushOptions options;
  options.sequence = Value<uint64_t>(NewSequence());
  ServerFrame frame;
  frame.epoch = 2;
  frame.kind = CreditFrame{};
  Receive(0, frame);
  SetLayout(2);
  Greet(0);
  Greet(1);
  Pull({{1, ViewB()}});
  AnswerPull(0, 0, 1);
  EXPECT_EQ(Code(PushB(options)), StatusCode::kInvalidArgument);
}

TEST_F(ClientSessionTest, AnswersToWhatWasNotAskedOrHasEndedChangeNothing) {
  Start();
  PullOptions soon;
  soon.deadline = Deadline{100};
  const uint64_t ended = Pull({{1, ViewB()}}, soon);
  const uint64_t ended_too = Pull({{1, ViewB()}}, soon);
  const uint64_t first = Next(0).request_id;
  const uint64_t second = Next(0).request_id;
  Advance(absl::Milliseconds(101));
  EXPECT_TRUE(Done(ended) && Done(ended_too));
  Answer(0, first, ErrorReplyFrame{Outcome::kOverloaded, ""});
  Answer(0, second, ErrorReplyFrame{Outcome::kPending, ""});
  EXPECT_EQ(client_->statistics().requests, 0u);
  Advance(absl::Seconds(5));
  EXPECT_TRUE(sent_[0].empty()) << "nobody waits for it";
  // An answer after OVERLOADED, to a request that is not out.
  const uint64_t call = Pull({{1, ViewB()}});
  const uint64_t third = Next(0).request_id;
  Answer(0, third, ErrorReplyFrame{Outcome::kOverloaded, ""});
  Answer(0, third, Values(2, 0, 7, 7));
  EXPECT_FALSE(Done(call));
  EXPECT_EQ(b_[0], 0);
  Answer(0, 12345, Values(2, 0, 7, 7));
  EXPECT_GE(client_->statistics().ignored, 2u);
  Advance(absl::Seconds(1));
  AnswerPull(0, 8, 8);
  EXPECT_TRUE(Done(call));
}

TEST_F(ClientSessionTest, FencedEndsEveryCallForGood) {
  Start();
  const uint64_t pull = Pull({{0, ViewA()}});
  const uint64_t push = PushB();
  uint64_t id = 0;
  NextAs<PullFrame>(0, &id);
  const PushFrame sent = NextAs<PushFrame>(0, &id);
  Answer(0, id, Outcomes(sent, Outcome::kFenced, 0));
  for (const uint64_t call : {pull, push, PushB()}) {
    EXPECT_EQ(Code(call), StatusCode::kFailedPrecondition);
    EXPECT_EQ(Message(call).substr(0, 6), "fenced");
  }
  EXPECT_EQ(disconnected_.size(), 2u);
}

TEST_F(ClientSessionTest, MovedEndsTheCallsUnderWayAndAsksForANewerLayout) {
  Start();
  const uint64_t pull = Pull({{0, ViewA()}});
  const uint64_t push = PushB();
  ServerFrame frame;
  frame.epoch = 2;
  frame.kind = ErrorReplyFrame{Outcome::kMoved, "epoch 2"};
  Receive(0, frame);
  EXPECT_EQ(Code(pull), StatusCode::kAborted);
  EXPECT_EQ(Code(push), StatusCode::kAborted);
  EXPECT_EQ(fetches_, std::vector<uint64_t>{1});
  const uint64_t later = Pull({{1, ViewB()}});
  EXPECT_FALSE(Done(later)) << "it waits for the new layout";
  SetLayout(2);
  Greet(0);
  Greet(1);
  AnswerPull(0, 0, 9);
  EXPECT_TRUE(Done(later));
  EXPECT_EQ(b_[0], 9);
}

TEST_F(ClientSessionTest, NothingKnownOfAnOlderEpochIsUsedInTheNext) {
  options_.mode = Mode::kAsp;
  hello_.mode = 2;
  Start();
  Pull({{1, ViewB()}});
  AnswerPull(0, 12, 1);
  EXPECT_EQ(client_->DeliveredVersion(1, 0), 12u);
  const uint64_t old_connection = connections_[0];
  ServerFrame frame;
  frame.epoch = 2;
  frame.kind = CreditFrame{};
  Receive(0, frame);
  EXPECT_EQ(client_->DeliveredVersion(1, 0), 0u);
  SetLayout(2);
  Greet(0);
  Greet(1);
  EXPECT_NE(Code(PushB()), StatusCode::kOk) << "the base of the old epoch must not be sent";
  // An answer of the old epoch's connection means nothing.
  const uint64_t call = Pull({{1, ViewB()}});
  uint64_t id = 0;
  NextAs<PullFrame>(0, &id);
  ServerFrame old;
  old.request_id = id;
  old.epoch = 1;
  old.kind = Values(2, 0, 77, 7);
  ReceiveOn(old_connection, old);
  Receive(0, old);
  EXPECT_FALSE(Done(call));
  Answer(0, id, Values(2, 0, 1, 3));
  EXPECT_EQ(b_[0], 3);
}

TEST_F(ClientSessionTest, StepsAndVersionsNamedAfterAMoveAreAbortedUntilWeightsAreReadAnew) {
  Start();
  ServerFrame frame;
  frame.epoch = 2;
  frame.kind = CreditFrame{};
  Receive(0, frame);  // no call is under way: nobody is told
  PullOptions step;
  step.step = 7;
  const uint64_t early = Pull({{1, ViewB()}}, step);
  SetLayout(2);
  Greet(0);
  Greet(1);
  EXPECT_EQ(Code(early), StatusCode::kAborted);
  EXPECT_EQ(Code(PushB()), StatusCode::kAborted);
  PullOptions expect;
  expect.expect = 7;
  EXPECT_EQ(Code(Pull({{1, ViewB()}}, expect)), StatusCode::kAborted);
  EXPECT_EQ(Code(Pull({{1, ViewB(), 0, 0, {7}}})), StatusCode::kAborted);
  EXPECT_TRUE(sent_[0].empty());
  const uint64_t read = Pull({{1, ViewB()}});
  AnswerPull(0, 0, 1);
  EXPECT_EQ(Code(read), StatusCode::kOk);
  PushB();
  EXPECT_FALSE(sent_[0].empty());
}

TEST_F(ClientSessionTest, StopEndsAllCallsWithItsReason) {
  Start();
  const uint64_t call = Pull({{0, ViewA()}});
  ClientEffects effects;
  client_->Stop(Status(StatusCode::kCancelled, "the job is stopping"), now_, &effects);
  Run(&effects);
  EXPECT_EQ(Code(call), StatusCode::kCancelled);
  EXPECT_EQ(Message(PushB()), "the job is stopping");
  EXPECT_EQ(disconnected_.size(), 2u);
  EXPECT_EQ(client_->NextTick(), absl::InfiniteFuture());
}

TEST_F(ClientSessionTest, LeaveIsSaidToEveryShard) {
  Start();
  ClientEffects effects;
  client_->Leave(99, Deadline{0}, now_, &effects);
  Run(&effects);
  uint64_t id = 0;
  NextAs<LeaveFrame>(0, &id);
  Answer(0, id, LeaveReplyFrame{});
  EXPECT_FALSE(Done(99));
  NextAs<LeaveFrame>(1, &id);
  Answer(1, id, LeaveReplyFrame{});
  EXPECT_EQ(Code(99), StatusCode::kOk);
}

TEST_F(ClientSessionTest, WorkerStateIsKeptAndGivenBackByTheLead) {
  Start();
  ClientEffects effects;
  client_->PutState(50, 4, "sampler", Deadline{0}, now_, &effects);
  client_->GetState(51, Deadline{0}, now_, &effects);
  Run(&effects);
  uint64_t id = 0;
  const PutStateFrame put = NextAs<PutStateFrame>(0, &id);
  EXPECT_EQ(put.sequence, 4u);
  std::string state(put.state.size(), 0);
  put.state.CopyTo(&state[0]);
  EXPECT_EQ(state, "sampler");
  Answer(0, id, StateReplyFrame{4, {}});
  EXPECT_EQ(Code(50), StatusCode::kOk);
  NextAs<GetStateFrame>(0, &id);
  Answer(0, id, StateReplyFrame{4, put.state});
  const WorkerState found = Value<WorkerState>(51);
  EXPECT_EQ(found.sequence, 4u);
  EXPECT_EQ(found.state, "sampler");
}

}  // namespace
}  // namespace weir
