// SPDX-License-Identifier: Apache-2.0
#include "net/shm_host.h"

#include <sys/random.h>

#include <map>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace weir {

// Who was invited and has not come. Self-synchronised.
class ShmHost::Guests {
 public:
  Guests(ShmPoller* poller, Options options) : poller_(poller), options_(std::move(options)) {}

  absl::StatusOr<ShmKey> Invite(Welcome welcome) {
    ShmKey key;
    if (getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size()))
      return absl::InternalError("shared memory: the kernel gives no random bytes");
    absl::MutexLock lock(&mu_);
    if (invited_.size() >= options_.max_invited) {
      return absl::ResourceExhaustedError(absl::StrCat("shared memory: ", options_.max_invited,
                                                       " sessions have been invited and not come"));
    }
    invited_[key] = std::move(welcome);
    return key;
  }

  void Withdraw(const ShmKey& key) {
    Welcome dropped;  // after the lock
    absl::MutexLock lock(&mu_);
    const auto found = invited_.find(key);
    if (found == invited_.end()) return;
    dropped = std::move(found->second);
    invited_.erase(found);
  }

  void CloseDoor() {
    std::map<ShmKey, Welcome> dropped;
    absl::MutexLock lock(&mu_);
    dropped.swap(invited_);
  }

  // A peer that was not invited is hung up on before anything it brought is looked at.
  void Receive(ShmListener::Offer offer) {
    Welcome welcome;
    {
      absl::MutexLock lock(&mu_);
      const auto found = invited_.find(offer.message.key);
      if (found != invited_.end()) {
        welcome = std::move(found->second);
        invited_.erase(found);
      }
    }
    ShmLinkHandler* handler = nullptr;
    std::shared_ptr<ShmLink> link;
    if (welcome != nullptr) {
      absl::StatusOr<std::shared_ptr<ShmLink>> accepted =
          ShmLink::Accept(std::move(offer), options_.link);
      if (accepted.ok()) link = *std::move(accepted);
      if (link != nullptr) handler = welcome(link);
    }
    {
      absl::MutexLock lock(&mu_);
      ++(handler != nullptr ? statistics_.links : statistics_.refused);
    }
    if (handler != nullptr) poller_->Add(std::move(link), handler);
  }

  Statistics statistics() const {
    absl::MutexLock lock(&mu_);
    return statistics_;
  }

 private:
  ShmPoller* const poller_;
  const Options options_;
  mutable absl::Mutex mu_;
  std::map<ShmKey, Welcome> invited_ ABSL_GUARDED_BY(mu_);
  Statistics statistics_ ABSL_GUARDED_BY(mu_);
};

absl::StatusOr<std::unique_ptr<ShmHost>> ShmHost::Open(const std::string& path, ShmPoller* poller,
                                                       Options options) {
  absl::StatusOr<std::unique_ptr<ShmListener>> listener =
      ShmListener::Listen(path, options.listener);
  if (!listener.ok()) return listener.status();
  auto guests = std::make_shared<Guests>(poller, std::move(options));
  poller->Listen(*std::move(listener),
                 [guests](ShmListener::Offer offer) { guests->Receive(std::move(offer)); });
  return std::unique_ptr<ShmHost>(new ShmHost(path, std::move(guests)));
}

ShmHost::ShmHost(std::string path, std::shared_ptr<Guests> guests)
    : path_(std::move(path)), guests_(std::move(guests)) {}
ShmHost::~ShmHost() { guests_->CloseDoor(); }

absl::StatusOr<ShmKey> ShmHost::Invite(Welcome welcome) {
  return guests_->Invite(std::move(welcome));
}
void ShmHost::Withdraw(const ShmKey& key) { guests_->Withdraw(key); }
ShmHost::Statistics ShmHost::statistics() const { return guests_->statistics(); }

}  // namespace weir
