// SPDX-License-Identifier: Apache-2.0
#include "worker/data_loop.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "core/steady_clock.h"
#include "net/channel.h"
#include "net/socket_directory.h"

namespace weir {
namespace {

// How many events one handles before it gives the turn back; the loop does the rest. A caller: its
// own, and what came in while it cut its call into frames. Who brings frames: enough to save a
// change of threads, and then it must look for more of them, and for what is due. Who renews the
// lease: none, for it must not be kept, nor wait for Options::log.
constexpr size_t kCallersEvents = 16;
constexpr size_t kReceiversEvents = 256;
constexpr size_t kNoEvents = 0;

ClientOptions WithLateEncoding(ClientOptions options) {
  options.encodes_late = true;
  return options;
}

ChannelOptions PayloadChannel() {
  ChannelOptions options;
  options.carries_payloads = true;
  return options;
}

}  // namespace

// One stream to a shard: what arrives goes to the mailbox.
class DataLoop::Connection : public SessionClientHandler {
 public:
  Connection(DataLoop* loop, const ConnectEffect& connect, const SessionClient::Options& options)
      : loop_(loop),
        id_(connect.connection),
        shard_(connect.shard),
        transport_(connect.transport),
        address_(connect.address),
        session_(MakeChannel(connect.address, PayloadChannel()), &loop->loop_, this, options) {}

  void OnFrame(ServerFrame&& frame, size_t wire_bytes) override {
    if (flooding_) return;
    const bool greeted = std::holds_alternative<HelloReplyFrame>(frame.kind);
    const uint64_t waiting = waiting_bytes_ += wire_bytes;
    // This lives until the event of OnClosed, the last of all, has run.
    Event event = [this, greeted, wire_bytes, frame = std::move(frame)](
                      absl::Time now, ClientEffects* effects) mutable {
      waiting_bytes_ -= wire_bytes;
      if (greeted) loop_->Greeted(id_);
      loop_->client_.Receive(id_, std::move(frame), now, effects);
    };
    if (waiting <= loop_->options_.max_waiting_bytes &&
        loop_->Post(std::move(event), kReceiversEvents))
      return;
    flooding_ = true;
    loop_->PostAlways([](absl::Time, ClientEffects*) {}, kReceiversEvents);  // which drops it
  }

  void OnClosed(const absl::Status& status) override {
    DataLoop* loop = loop_;
    const uint64_t id = id_;
    loop->PostAlways(
        [loop, id, status](absl::Time now, ClientEffects* effects) {
          loop->OnClosed(id, status, now, effects);
        },
        kReceiversEvents);
  }

  SessionClient& session() { return session_; }
  uint32_t shard() const { return shard_; }
  Transport transport() const { return transport_; }
  const std::string& address() const { return address_; }
  // The mailbox held too much when a frame came, which is lost: the stream is of no use any more.
  bool flooding() const { return flooding_; }

 private:
  DataLoop* const loop_;
  const uint64_t id_;
  const uint32_t shard_;
  const Transport transport_;
  const std::string address_;
  std::atomic<uint64_t> waiting_bytes_{0};  // of its frames in the mailbox
  std::atomic<bool> flooding_{false};       // set by who brings frames, read in the turn
  SessionClient session_;                   // last: it calls the others at once
};

DataLoop::DataLoop(Options options)
    : options_(std::move(options)),
      pool_(BufferPool::kNoLimit, options_.shm != nullptr ? options_.shm->arena() : nullptr),
      client_(WithLateEncoding(options_.client), &pool_),
      loop_([this] {
        CompletionLoop::Options loop;
        loop.thread_name = "weir-data";
        loop.next_tick = [this] { return UntilTick(); };
        loop.tick = [this] { Tick(); };
        return loop;
      }()) {
  loop_.Start();
}

DataLoop::~DataLoop() { Close(); }

bool DataLoop::Post(Event event, size_t events) {
  bool drive = false;
  {
    absl::MutexLock lock(&mu_);
    if (closing_ || mail_.size() >= kMaxMail) return false;
    mail_.push_back(std::move(event));
    drive = TryTakeTurn();
  }
  if (drive) Drive(events);
  return true;
}

void DataLoop::PostAlways(Event event, size_t events) {
  bool drive = false;
  {
    absl::MutexLock lock(&mu_);
    if (closing_) return;
    mail_.push_back(std::move(event));
    drive = TryTakeTurn();
  }
  if (drive) Drive(events);
}

bool DataLoop::TryTakeTurn() {
  if (turn_ || mail_.empty()) return false;
  turn_ = true;
  return true;
}

uint64_t DataLoop::Call(Begin begin, Done done) {
  const uint64_t call = next_call_++;
  const bool posted = Post(
      [this, call, begin = std::move(begin), done](absl::Time now, ClientEffects* effects) {
        done_[call] = done;
        begin(client_, call, now, effects);
      },
      kCallersEvents);
  if (!posted) {
    CompleteEffect end;
    end.call = call;
    end.status = RefusedCall();
    done(end);
  }
  return call;
}

Status DataLoop::RefusedCall() const {
  absl::MutexLock lock(&mu_);
  if (closing_) return Status(StatusCode::kCancelled, "the worker is closed");
  return Status(StatusCode::kResourceExhausted,
                absl::StrCat(kMaxMail, " events wait for the worker's thread"));
}

void DataLoop::Cancel(uint64_t call) {
  PostAlways(
      [this, call](absl::Time now, ClientEffects* effects) { client_.Cancel(call, now, effects); },
      kCallersEvents);
}

void DataLoop::SetLayout(Layout layout) {
  PostAlways(
      [this, layout = std::move(layout)](absl::Time now, ClientEffects* effects) {
        client_.SetLayout(layout, now, effects);
      },
      kNoEvents);
}

void DataLoop::SetSpin(absl::Duration spin) {
  loop_.set_spin(spin);
  if (options_.shm != nullptr) options_.shm->poller()->set_spin(spin);
}

void DataLoop::Stop(Status why) {
  PostAlways([this, why = std::move(why)](
                 absl::Time now, ClientEffects* effects) { client_.Stop(why, now, effects); },
             kNoEvents);
}

void DataLoop::Log(LogLevel level, std::string text) {
  Post([this, level, text = std::move(text)](absl::Time, ClientEffects*) { Say(level, text); },
       kNoEvents);
}

std::string DataLoop::WaitsFor() {
  Post(
      [this](absl::Time, ClientEffects*) {
        std::string text = client_.WaitsFor();
        absl::MutexLock lock(&mu_);
        waits_for_ = std::move(text);
      },
      kNoEvents);
  absl::MutexLock lock(&mu_);
  return waits_for_;
}

PayloadTraffic DataLoop::traffic() const {
  absl::MutexLock lock(&mu_);
  return traffic_;
}

void DataLoop::Close() {
  absl::MutexLock close_lock(&close_mu_);
  Stop(Status(StatusCode::kCancelled, "the worker was closed"));
  {
    absl::MutexLock lock(&mu_);
    if (closing_) return;
    closing_ = true;
    const auto quiet = [this]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !turn_ && mail_.empty(); };
    mu_.Await(absl::Condition(&quiet));
    turn_ = true;  // for ever
  }
  connections_.clear();
  loop_.Shutdown();
}

absl::Duration DataLoop::UntilTick() {
  absl::MutexLock lock(&mu_);
  // Whoever has the turn wakes the loop when it leaves something to do.
  sleeps_until_ = turn_ ? absl::InfiniteFuture() : !mail_.empty() ? absl::InfinitePast() : due_;
  return sleeps_until_ - SteadyNow();
}

void DataLoop::Tick() {
  {
    absl::MutexLock lock(&mu_);
    if (turn_) return;
    turn_ = true;
  }
  const absl::Time now = SteadyNow();
  if (client_.NextTick() <= now) {
    client_.Tick(now, &effects_);
    CarryOut(&effects_);
  }
  Drive(kReceiversEvents);
}

void DataLoop::Drive(size_t events) {
  for (size_t handled = 0;; ++handled) {
    Event event;
    DropFlooding();
    {
      absl::MutexLock lock(&mu_);
      if (mail_.empty() || handled == events) {
        turn_ = false;
        due_ = client_.NextTick();
        const bool wake = !mail_.empty() || due_ < sleeps_until_;
        if (!wake || loop_.OnThread()) return;
      } else {
        event = std::move(mail_.front());
        mail_.pop_front();
      }
    }
    if (!event) return loop_.Wake();
    event(SteadyNow(), &effects_);
    event = nullptr;  // lets go of the payload
    CarryOut(&effects_);
  }
}

// Effects may cause effects: they are carried out behind those already there.
void DataLoop::CarryOut(ClientEffects* effects) {
  ClientEffects next;
  while (!effects->empty()) {
    for (ClientEffect& effect : *effects) {
      if (auto* send = std::get_if<SendEffect>(&effect)) {
        Send(send);
      } else if (auto* deliver = std::get_if<DeliverEffect>(&effect)) {
        DeliverValues(*deliver);
        deliver->payload = Payload();
      } else if (auto* complete = std::get_if<CompleteEffect>(&effect)) {
        const auto at = done_.find(complete->call);
        if (at == done_.end()) continue;
        const Done done = std::move(at->second);
        done_.erase(at);
        Watch(complete);
        {
          absl::MutexLock lock(&mu_);
          traffic_ = client_.statistics().traffic;
        }
        done(*complete);
      } else if (auto* connect = std::get_if<ConnectEffect>(&effect)) {
        const absl::Status opened = Open(*connect);
        if (opened.ok()) {  // the stream queues what is sent before it stands
          client_.Connected(connect->connection, SteadyNow(), &next);
        } else {
          client_.Disconnected(connect->connection, opened, SteadyNow(), &next);
        }
      } else if (auto* disconnect = std::get_if<DisconnectEffect>(&effect)) {
        const auto at = connections_.find(disconnect->connection);
        if (at != connections_.end()) at->second->session().Cancel();  // OnClosed follows
      } else if (auto* fetch = std::get_if<FetchLayoutEffect>(&effect)) {
        Say(LogLevel::kInfo, absl::StrCat("the job has left epoch ", fetch->newer_than));
        options_.fetch_layout(fetch->newer_than);
      }
    }
    effects->clear();
    effects->swap(next);
  }
}

void DataLoop::Watch(CompleteEffect* end) {
  std::vector<LentSlice>* lent = nullptr;
  if (auto* pulled = std::get_if<PullResult>(&end->value)) lent = &pulled->lent;
  if (auto* pushed = std::get_if<PushResult>(&end->value)) lent = &pushed->lent;
  for (const Loan& loan : end->loans) {
    std::shared_ptr<const void>& owner = (*lent)[loan.slice].owner;
    const void* const values = (*lent)[loan.slice].values;
    owner = std::shared_ptr<const void>(
        values, [owner = owner, loan, weak = weak_from_this()](const void*) mutable {
          owner.reset();  // the server's memory first, then its credit
          const std::shared_ptr<DataLoop> loop = weak.lock();
          if (loop == nullptr) return;
          loop->PostAlways(
              [raw = loop.get(), loan](absl::Time now, ClientEffects* effects) {
                raw->client_.Returned(loan, now, effects);
              },
              kCallersEvents);
        });
  }
}

absl::Status DataLoop::Open(const ConnectEffect& connect) {
  SessionClient::Options options;
  if (connect.transport == Transport::kUds) {
    absl::Status safe = CheckSocket(std::string(absl::StripPrefix(connect.address, "unix:")));
    if (!safe.ok()) {
      Say(LogLevel::kWarning, std::string(safe.message()));
      return safe;
    }
    if (options_.shm != nullptr && without_shm_.count(connect.shard) == 0) {
      options.shm = options_.shm->poller();
      options.arena = options_.shm->arena();
    }
  }
  connections_[connect.connection] = std::make_unique<Connection>(this, connect, options);
  return absl::OkStatus();
}

// Says how the session travels, when that is news.
void DataLoop::Greeted(uint64_t connection) {
  const auto at = connections_.find(connection);
  if (at == connections_.end()) return;
  const Connection& open = *at->second;
  std::string why;
  const SessionClient::Way way = at->second->session().way(&why);
  const bool shared = way == SessionClient::Way::kShm;
  const char* const name = shared ? "shm" : TransportName(open.transport());
  std::string& said = ways_[open.shard()];
  if (said == name) return;
  said = name;
  Say(LogLevel::kInfo, absl::StrCat("to shard ", open.shard(), " by ", name, ", ", open.address()));
  if (way == SessionClient::Way::kNoMemory)
    Say(LogLevel::kWarning, absl::StrCat("there is no shared memory for shard ", open.shard(), ": ",
                                         why, "; its Unix socket serves"));
}

void DataLoop::Send(SendEffect* send) {
  const auto at = connections_.find(send->connection);
  if (at == connections_.end()) return;
  const absl::Status status =
      at->second->session().Send(std::move(send->frame), std::move(send->encode));
  if (status.ok() || absl::IsUnavailable(status)) return;  // UNAVAILABLE: OnClosed is on its way
  Say(LogLevel::kError, absl::StrCat("a frame for shard ", send->shard,
                                     " could not be sent: ", std::string(status.message())));
  at->second->session().Cancel();
}

void DataLoop::OnClosed(uint64_t connection, const absl::Status& why, absl::Time now,
                        ClientEffects* effects) {
  const auto at = connections_.find(connection);
  if (at == connections_.end()) return;
  const absl::Status status = at->second->flooding() ? Flooded() : why;
  std::string broken;
  if (at->second->session().way(&broken) == SessionClient::Way::kBroken) {
    Say(LogLevel::kWarning, absl::StrCat("shared memory with shard ", at->second->shard(),
                                         " failed: ", broken, "; its Unix socket serves"));
    without_shm_.insert(at->second->shard());
  }
  connections_.erase(at);
  if (!absl::IsCancelled(status))
    Say(LogLevel::kWarning, absl::StrCat("a connection to a server ended: ", status.ToString()));
  client_.Disconnected(connection, status, now, effects);
}

absl::Status DataLoop::Flooded() const {
  return absl::ResourceExhaustedError(
      absl::StrCat("its frames pile up: more than ", options_.max_waiting_bytes, " bytes or ",
                   kMaxMail, " events wait for the worker's thread"));
}

void DataLoop::DropFlooding() {
  for (auto& [id, connection] : connections_) {
    if (connection->flooding()) connection->session().Cancel();
  }
}

void DataLoop::Say(LogLevel level, const std::string& text) {
  if (options_.log) options_.log(level, text);
}

}  // namespace weir
