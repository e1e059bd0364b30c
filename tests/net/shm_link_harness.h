// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_TESTS_NET_SHM_LINK_HARNESS_H_
#define WEIR_TESTS_NET_SHM_LINK_HARNESS_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "net/shm_link.h"
#include "tests/net/shm_ends.h"

namespace weir::testing {

inline constexpr uint64_t kPlenty = uint64_t{1} << 40;

// Little room, so that a test fills it.
inline ShmLink::Options Small() {
  ShmLink::Options options;
  options.geometry = ShmGeometry{ShmGeometry::kMinRingBytes, 65536};
  options.max_frame_bytes = 65536;
  options.available_bytes = [] { return kPlenty; };
  return options;
}

inline std::shared_ptr<ShmArena> SmallArena() {
  ShmArena::Options options;
  options.segment_bytes = size_t{1} << 20;
  options.available_bytes = [] { return kPlenty; };
  return std::make_shared<ShmArena>(options);
}

// Both ends of a link in one process, which does what their pollers would.
class Ends {
 public:
  explicit Ends(const ShmLink::Options& client_options = Small(),
                const ShmLink::Options& server_options = Small()) {
    listener_ = *ShmListener::Listen(place_.path(), {});
    auto offered = ShmLink::Offer(place_.path(), ShmKey{1}, client_options);
    EXPECT_TRUE(offered.ok()) << offered.status();
    client = *std::move(offered);
    listener_->Run(absl::UnixEpoch());
    auto offers = listener_->Run(absl::UnixEpoch());
    EXPECT_EQ(offers.size(), 1u);
    auto accepted = ShmLink::Accept(std::move(offers.at(0)), server_options);
    EXPECT_TRUE(accepted.ok()) << accepted.status();
    server = *std::move(accepted);
    Run();
    EXPECT_EQ(at_client.ups, 1);
  }

  // Until nothing happens any more.
  void Run() {
    for (int i = 0; i < 1000; ++i) {
      bool worked = Step(client.get(), &at_client, &client_status);
      worked = Step(server.get(), &at_server, &server_status) || worked;
      if (!worked) return;
    }
    FAIL() << "it goes on for ever";
  }

  std::shared_ptr<ShmLink> client;
  std::shared_ptr<ShmLink> server;
  Recorder at_client;
  Recorder at_server;
  absl::Status client_status;  // what ended it
  absl::Status server_status;

 private:
  static bool Step(ShmLink* link, Recorder* recorder, absl::Status* status) {
    if (link == nullptr || !status->ok()) return false;
    const absl::StatusOr<bool> polled = link->Poll(recorder);
    *status = polled.status();
    if (status->ok()) *status = link->ReadSocket(recorder);
    if (!status->ok()) recorder->OnClosed(link->Finish(*status, recorder));
    return !status->ok() || *polled;
  }

  SocketPlace place_;
  std::unique_ptr<ShmListener> listener_;
};

}  // namespace weir::testing

#endif  // WEIR_TESTS_NET_SHM_LINK_HARNESS_H_
