// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_HOST_KEY_H_
#define WEIR_CORE_HOST_KEY_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace weir {

// What decides whether a process can open the sockets of another by their paths.
struct HostIdentity {
  std::string boot_id;           // of the running kernel: the machine
  uint64_t user_id = 0;          // effective
  uint64_t user_namespace = 0;   // inode: in which the user id counts
  uint64_t mount_namespace = 0;  // inode: which file systems are seen ...
  uint64_t root_device = 0;      // ... and from where
  uint64_t root_inode = 0;
};

// Two processes are on the same host, in the sense of Unix sockets and shared memory, when their
// keys are the same text and not empty: same boot of one machine, same user, same view of its
// files. Their network namespaces may differ.
//
// A key has five parts between slashes, in the order of HostIdentity (the root is one part). Nobody
// proves a key: it only says that a path is worth a try.
std::string HostKeyOf(const HostIdentity& identity);

// The key of this process, read from /proc; empty where /proc does not tell, and then nobody is on
// the same host.
std::string ReadHostKey();

bool SameHost(absl::string_view a, absl::string_view b);

// Why two keys are not of the same host, as in "another machine" or "another mount namespace".
// REQUIRES: !SameHost(a, b).
std::string HostDifference(absl::string_view a, absl::string_view b);

}  // namespace weir

#endif  // WEIR_CORE_HOST_KEY_H_
