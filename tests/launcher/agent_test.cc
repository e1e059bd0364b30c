// SPDX-License-Identifier: Apache-2.0
// Real processes under a real agent. This program is also the agent: see main.
#include "launcher/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "launcher/agent_client.h"
#include "launcher/descendants.h"

namespace weir {
namespace {

using ::testing::HasSubstr;
using Kind = AgentEvent::Kind;

// Far beyond what anything here takes; a failure, never a pace.
constexpr absl::Duration kLimit = absl::Seconds(30);

bool Exists(pid_t pid) { return kill(pid, 0) == 0; }

std::string Contents(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class AgentTest : public ::testing::Test {
 protected:
  AgentTest() {
    EXPECT_TRUE(BecomeSubreaper());
    char name[] = "/tmp/agent_test.XXXXXX";
    directory = mkdtemp(name);
    StartAgent();
  }
  ~AgentTest() override {
    agent.reset();
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1) << "a process is left";
    EXPECT_EQ(errno, ECHILD);
    const int removed = system(("rm -rf " + directory).c_str());
    EXPECT_EQ(removed, 0);
  }

  void StartAgent() {
    auto started = AgentClient::Start({"/proc/self/exe", "agent"}, directory + "/agent.log");
    ASSERT_TRUE(started.ok()) << started.status();
    agent = *std::move(started);
  }

  static AgentCommand Shell(const std::string& name, const std::string& script) {
    AgentCommand command;
    command.kind = AgentCommand::Kind::kStart;
    command.name = name;
    command.argv = {"/bin/sh", "-c", script};
    command.wants_ready = true;
    return command;
  }

  // The next event of `kind` about `name`; others are kept for later.
  AgentEvent Await(Kind kind, const std::string& name) {
    const absl::Time end = absl::Now() + kLimit;
    for (;;) {
      for (AgentEvent& event : agent->Take()) events.push_back(event);
      for (auto it = events.begin(); it != events.end(); ++it) {
        if (it->kind != kind || it->name != name) continue;
        AgentEvent event = *it;
        events.erase(it);
        return event;
      }
      pollfd fd{agent->fd(), POLLIN, 0};
      if (agent->gone() || absl::Now() > end) {
        ADD_FAILURE() << "no such event of " << name;
        return {};
      }
      poll(&fd, 1, 1000);
    }
  }

  // Starts a shell that says a process number when ready, and returns that number.
  pid_t Learn(const std::string& name, const std::string& script) {
    EXPECT_TRUE(agent->Send(Shell(name, script)).ok());
    int pid = 0;
    EXPECT_TRUE(absl::SimpleAtoi(Await(Kind::kReady, name).text, &pid));
    return pid;
  }

  // The same, for a shell that goes on.
  pid_t StartAndLearn(const std::string& name, const std::string& script) {
    const pid_t pid = Learn(name, script);
    EXPECT_TRUE(Exists(pid));
    return pid;
  }

  void EndCleanly(absl::Duration grace) {
    bool clean = false;
    for (AgentEvent& event : agent->End(grace, &clean)) events.push_back(event);
    EXPECT_TRUE(clean);
  }

  std::string directory;
  std::unique_ptr<AgentClient> agent;
  std::vector<AgentEvent> events;
};

TEST_F(AgentTest, AProcessIsStartedSaysThatItIsReadyAndItsExitIsReported) {
  AgentCommand command =
      Shell("ps-0", "echo out; echo err >&2; echo $GREETING in $PWD >&$WEIR_READY_FD; exit 3");
  command.env = {{"GREETING", "hello"}};
  command.directory = directory;
  command.log_path = directory + "/ps-0.log";
  ASSERT_TRUE(agent->Send(command).ok());
  const int pid = Await(Kind::kStarted, "ps-0").pid;
  EXPECT_EQ(Await(Kind::kReady, "ps-0").text, "hello in " + directory);
  const AgentEvent exited = Await(Kind::kExited, "ps-0");
  EXPECT_EQ(exited.pid, pid);
  EXPECT_EQ(exited.end, (ProcessEnd{false, 3}));
  EXPECT_EQ(Contents(command.log_path), "out\nerr\n");
}

TEST_F(AgentTest, AProcessLeadsAGroupOfItsOwnAndDoesNotHoldTheAgentsFiles) {
  ASSERT_TRUE(
      agent->Send(Shell("p", "echo $(ps -o pgid= -p $$) $$ $(ls /proc/$$/fd | tr '\\n' ' ') >&3"))
          .ok());
  std::istringstream said(Await(Kind::kReady, "p").text);
  int group = 0, self = -1;
  std::string fds;
  said >> group >> self;
  std::getline(said, fds);
  EXPECT_EQ(group, self);
  EXPECT_EQ(fds.substr(0, 8), " 0 1 2 3");
  EXPECT_EQ(fds.find(" 4 "), std::string::npos) << fds;
}

TEST_F(AgentTest, AProcessThatIsKilledIsReportedWithItsSignal) {
  ASSERT_TRUE(agent->Send(Shell("w", "echo $$ >&3; exec sleep 1000")).ok());
  kill(Await(Kind::kStarted, "w").pid, SIGKILL);
  EXPECT_EQ(Await(Kind::kExited, "w").end.Describe(), "killed by signal 9 (SIGKILL)");
}

TEST_F(AgentTest, ASignalCommandReachesTheWholeGroup) {
  const pid_t child = StartAndLearn("w", "sleep 1000 & echo $! >&3; wait");
  AgentCommand command;
  command.kind = AgentCommand::Kind::kSignal;
  command.name = "w";
  command.signal = SIGTERM;
  ASSERT_TRUE(agent->Send(command).ok());
  EXPECT_EQ(Await(Kind::kExited, "w").end, (ProcessEnd{true, SIGTERM}));
  EndCleanly(absl::ZeroDuration());
  EXPECT_FALSE(Exists(child));
}

TEST_F(AgentTest, AProgramThatCannotBeStartedIsReportedWithTheReason) {
  AgentCommand command = Shell("p", "");
  command.argv = {"/no/such/program"};
  ASSERT_TRUE(agent->Send(command).ok());
  EXPECT_EQ(Await(Kind::kFailed, "p").text,
            "cannot start the program /no/such/program: No such file or directory");
  command = Shell("q", "");
  command.directory = "/no/such/directory";
  ASSERT_TRUE(agent->Send(command).ok());
  EXPECT_THAT(Await(Kind::kFailed, "q").text, HasSubstr("/no/such/directory"));
  command = Shell("r", "");
  command.log_path = "/no/such/directory/r.log";
  ASSERT_TRUE(agent->Send(command).ok());
  EXPECT_THAT(Await(Kind::kFailed, "r").text, HasSubstr("cannot write the log"));
}

TEST_F(AgentTest, ANameThatRunsAlreadyIsRefused) {
  StartAndLearn("w", "echo $$ >&3; exec sleep 1000");
  ASSERT_TRUE(agent->Send(Shell("w", "exit 0")).ok());
  EXPECT_THAT(Await(Kind::kFailed, "w").text, HasSubstr("runs already"));
}

TEST_F(AgentTest, WhatAProcessLeavesInItsGroupEndsWithIt) {
  const pid_t left = Learn("w", "sleep 1000 & echo $! >&3");
  EXPECT_EQ(Await(Kind::kExited, "w").end, (ProcessEnd{false, 0}));
  // Killed with its group before the report, and reaped when the agent has ended at the latest.
  EndCleanly(absl::ZeroDuration());
  EXPECT_FALSE(Exists(left));
}

TEST_F(AgentTest, GrandchildrenInSessionsOfTheirOwnEndWithTheAgent) {
  const pid_t orphan = StartAndLearn(
      "w", "setsid sh -c 'trap \"\" TERM; echo $$ >&3; sleep 1000; sleep 1000' & wait");
  // `v` ends only when what it leaves behind is in its own session: before, it would end with it.
  const pid_t other = StartAndLearn("v",
                                    "trap 'exit 0' USR1; setsid sh -c \"echo \\$\\$ >&3; "
                                    "kill -USR1 $$; exec sleep 1000\" & wait; exit 9");
  Await(Kind::kExited, "v");
  EXPECT_TRUE(Exists(other)) << "it had left the group";
  EndCleanly(absl::ZeroDuration());
  EXPECT_FALSE(Exists(orphan));
  EXPECT_FALSE(Exists(other));
}

TEST_F(AgentTest, AShutdownLetsProcessesEndInOrderAndReportsHow) {
  ASSERT_TRUE(
      agent->Send(Shell("w", "trap 'exit 7' TERM; echo $$ >&3; while :; do sleep 0.01; done"))
          .ok());
  Await(Kind::kReady, "w");
  EndCleanly(absl::Seconds(2));
  ASSERT_TRUE(agent->gone());
  EXPECT_EQ(Await(Kind::kExited, "w").end, (ProcessEnd{false, 7}));
}

TEST_F(AgentTest, AProcessThatIgnoresTermIsKilledAfterTheGrace) {
  ASSERT_TRUE(
      agent->Send(Shell("w", "trap '' TERM; echo $$ >&3; while :; do sleep 1000; done")).ok());
  Await(Kind::kReady, "w");
  EndCleanly(absl::Milliseconds(50));
  EXPECT_EQ(Await(Kind::kExited, "w").end, (ProcessEnd{true, SIGKILL}));
}

TEST_F(AgentTest, WhenTheAgentIsKilledTheLauncherKillsWhatItHadStarted) {
  const pid_t direct = StartAndLearn("w", "echo $$ >&3; exec sleep 1000");
  const pid_t child = StartAndLearn("v", "sleep 1000 & echo $! >&3; wait");
  const pid_t session = StartAndLearn("u", "setsid sleep 1000 & echo $! >&3; wait");
  kill(agent->pid(), SIGKILL);
  while (!agent->gone()) {
    pollfd fd{agent->fd(), POLLIN, 0};
    poll(&fd, 1, 1000);
    agent->Take();
  }
  EXPECT_FALSE(agent->Send(Shell("x", "exit 0")).ok());
  EndCleanly(absl::ZeroDuration());
  for (pid_t pid : {direct, child, session}) EXPECT_FALSE(Exists(pid)) << pid;
}

TEST_F(AgentTest, WhenTheLauncherIsKilledEverythingIsGoneWithinFiveSeconds) {
  int told[2];
  ASSERT_EQ(pipe(told), 0);
  const pid_t launcher = fork();
  if (launcher == 0) {
    // A launcher of its own: an agent, a process that ignores TERM, and a grandchild in another
    // session.
    close(told[0]);
    agent.release();  // the parent's
    StartAgent();
    const pid_t pids[3] = {
        agent->pid(), StartAndLearn("w", "trap '' TERM; echo $$ >&3; while :; do sleep 1000; done"),
        StartAndLearn("v",
                      "setsid sh -c 'trap \"\" TERM; echo $$ >&3; sleep 1000; sleep 1000' & wait")};
    if (write(told[1], pids, sizeof(pids)) != sizeof(pids)) _exit(1);
    pause();
    _exit(1);
  }
  close(told[1]);
  pid_t pids[3] = {};
  ASSERT_EQ(read(told[0], pids, sizeof(pids)), static_cast<ssize_t>(sizeof(pids)));
  close(told[0]);
  const absl::Time killed = absl::Now();
  kill(launcher, SIGKILL);
  ASSERT_EQ(waitpid(launcher, nullptr, 0), launcher);
  int status = -1;
  ASSERT_EQ(waitpid(pids[0], &status, 0), pids[0]) << "the agent became a child of this subreaper";
  EXPECT_EQ(status, 0) << "everything was reaped";
  EXPECT_LT(absl::Now() - killed, absl::Seconds(5));
  EXPECT_FALSE(Exists(pids[1]));
  EXPECT_FALSE(Exists(pids[2]));
}

TEST_F(AgentTest, ALineThatIsNoCommandEndsTheAgentWithAReport) {
  for (const std::string& line : {std::string("nonsense\n"), std::string("{\"do\":\"dance\"}\n"),
                                  std::string(kMaxAgentLine + 10, 'x')}) {
    int in[2], out[2];
    ASSERT_EQ(pipe2(in, O_CLOEXEC), 0);
    ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
    const pid_t pid = fork();
    if (pid == 0) {
      close(in[1]);
      close(out[0]);
      _exit(RunAgent(in[0], out[1]));
    }
    close(in[0]);
    close(out[1]);
    signal(SIGPIPE, SIG_IGN);
    for (size_t written = 0; written < line.size();) {
      const ssize_t size = write(in[1], line.data() + written, line.size() - written);
      if (size <= 0) break;
      written += size;
    }
    int status = -1;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    char said[4096];
    const ssize_t size = read(out[0], said, sizeof(said));
    if (line.size() < 100) {
      EXPECT_THAT(std::string(said, size), HasSubstr("does not understand"));
    }
    close(in[1]);
    close(out[0]);
  }
}

}  // namespace
}  // namespace weir

int main(int argc, char** argv) {
  if (argc == 2 && std::string(argv[1]) == "agent") return weir::RunAgent(0, 1);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
