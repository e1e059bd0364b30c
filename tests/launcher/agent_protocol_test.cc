// SPDX-License-Identifier: Apache-2.0
#include "launcher/agent_protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

using ::testing::HasSubstr;

std::string WithoutNewline(std::string line) {
  EXPECT_EQ(line.back(), '\n');
  line.pop_back();
  EXPECT_EQ(line.find('\n'), std::string::npos);
  return line;
}

TEST(AgentProtocolTest, EveryCommandSurvivesTheRoundTrip) {
  AgentCommand start;
  start.kind = AgentCommand::Kind::kStart;
  start.name = "worker-1";
  start.argv = {"python3", "train.py", "a \"quoted\"\nargument"};
  start.env = {{"A", "1"}, {"B", "two words"}};
  start.directory = "/d";
  start.log_path = "/r/worker-1.log";
  start.wants_ready = true;
  auto decoded = DecodeAgentCommand(WithoutNewline(EncodeAgentCommand(start)));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_EQ(decoded->kind, start.kind);
  EXPECT_EQ(decoded->name, start.name);
  EXPECT_EQ(decoded->argv, start.argv);
  EXPECT_EQ(decoded->env, start.env);
  EXPECT_EQ(decoded->directory, start.directory);
  EXPECT_EQ(decoded->log_path, start.log_path);
  EXPECT_TRUE(decoded->wants_ready);

  AgentCommand signal;
  signal.kind = AgentCommand::Kind::kSignal;
  signal.name = "ps-0";
  signal.signal = 10;
  decoded = DecodeAgentCommand(WithoutNewline(EncodeAgentCommand(signal)));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->signal, 10);

  AgentCommand shutdown;
  shutdown.grace = absl::Milliseconds(1500);
  decoded = DecodeAgentCommand(WithoutNewline(EncodeAgentCommand(shutdown)));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->kind, AgentCommand::Kind::kShutdown);
  EXPECT_EQ(decoded->grace, shutdown.grace);
}

TEST(AgentProtocolTest, EveryEventSurvivesTheRoundTrip) {
  for (const AgentEvent& event :
       std::vector<AgentEvent>{{AgentEvent::Kind::kStarted, "ps-0", 17, "", {}},
                               {AgentEvent::Kind::kReady, "ps-0", 0, "127.0.0.1:80", {}},
                               {AgentEvent::Kind::kExited, "ps-0", 17, "", {false, 3}},
                               {AgentEvent::Kind::kExited, "ps-0", 17, "", {true, 9}},
                               {AgentEvent::Kind::kFailed, "ps-0", 0, "no such program", {}}}) {
    auto decoded = DecodeAgentEvent(WithoutNewline(EncodeAgentEvent(event)));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(decoded->kind, event.kind);
    EXPECT_EQ(decoded->name, event.name);
    EXPECT_EQ(decoded->pid, event.pid);
    EXPECT_EQ(decoded->text, event.text);
    EXPECT_EQ(decoded->end, event.end);
  }
}

TEST(AgentProtocolTest, TextThatIsNotUtf8IsMendedAndNothingThrows) {
  const std::string line = EncodeAgentEvent({AgentEvent::Kind::kReady, "p", 1, "a\xff\xfe", {}});
  EXPECT_TRUE(DecodeAgentEvent(WithoutNewline(line)).ok());
}

TEST(AgentProtocolTest, ABadLineIsRefusedNamingTheMember) {
  EXPECT_FALSE(DecodeAgentCommand("").ok());
  EXPECT_FALSE(DecodeAgentCommand("[1]").ok());
  EXPECT_FALSE(DecodeAgentCommand("{\"do\":").ok());
  EXPECT_THAT(std::string(DecodeAgentCommand("{}").status().message()), HasSubstr("'do'"));
  EXPECT_THAT(std::string(DecodeAgentCommand("{\"do\":\"signal\",\"name\":\"a\",\"signal\":999}")
                              .status()
                              .message()),
              HasSubstr("'signal'"));
  EXPECT_THAT(
      std::string(
          DecodeAgentCommand("{\"do\":\"start\",\"name\":\"a\",\"argv\":[1]}").status().message()),
      HasSubstr("'argv'"));
  EXPECT_THAT(
      std::string(DecodeAgentEvent("{\"event\":\"started\",\"name\":3}").status().message()),
      HasSubstr("'name'"));
}

TEST(LineReaderTest, LinesComeOutWholeHoweverTheyArrive) {
  LineReader reader;
  std::string line;
  EXPECT_TRUE(reader.Add("on"));
  EXPECT_FALSE(reader.Next(&line));
  EXPECT_TRUE(reader.Add("e\ntwo\nthr"));
  ASSERT_TRUE(reader.Next(&line));
  EXPECT_EQ(line, "one");
  ASSERT_TRUE(reader.Next(&line));
  EXPECT_EQ(line, "two");
  EXPECT_FALSE(reader.Next(&line));
  EXPECT_TRUE(reader.Add("ee\n"));
  ASSERT_TRUE(reader.Next(&line));
  EXPECT_EQ(line, "three");
}

TEST(LineReaderTest, ALineOverTheLimitIsRefusedAndThoseBeforeItAreKept) {
  LineReader reader(10);
  EXPECT_TRUE(reader.Add("0123456789"));
  EXPECT_TRUE(reader.Add("\nabc\n"));
  EXPECT_FALSE(reader.Add("01234567890"));
  std::string line;
  ASSERT_TRUE(reader.Next(&line));
  EXPECT_EQ(line, "0123456789");
  ASSERT_TRUE(reader.Next(&line));
  EXPECT_EQ(line, "abc");
  EXPECT_FALSE(reader.Next(&line));
}

}  // namespace
}  // namespace weir
