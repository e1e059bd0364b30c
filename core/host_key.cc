// SPDX-License-Identifier: Apache-2.0
#include "core/host_key.h"

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace weir {
namespace {

// The number of a namespace of this process; 0: not told.
uint64_t Namespace(const char* path) {
  struct stat found;
  return stat(path, &found) == 0 ? found.st_ino : 0;
}

}  // namespace

std::string HostKeyOf(const HostIdentity& id) {
  return absl::StrCat(id.boot_id, "/", id.user_id, "/", id.user_namespace, "/", id.mount_namespace,
                      "/", id.root_device, ":", id.root_inode);
}

std::string ReadHostKey() {
  HostIdentity identity;
  std::ifstream boot_id("/proc/sys/kernel/random/boot_id");
  std::getline(boot_id, identity.boot_id);
  absl::StripAsciiWhitespace(&identity.boot_id);
  identity.user_id = geteuid();
  identity.user_namespace = Namespace("/proc/self/ns/user");
  identity.mount_namespace = Namespace("/proc/self/ns/mnt");
  struct stat root;
  if (identity.boot_id.empty() || identity.user_namespace == 0 || identity.mount_namespace == 0 ||
      stat("/", &root) != 0) {
    return "";
  }
  identity.root_device = root.st_dev;
  identity.root_inode = root.st_ino;
  return HostKeyOf(identity);
}

bool SameHost(absl::string_view a, absl::string_view b) { return !a.empty() && a == b; }

std::string HostDifference(absl::string_view a, absl::string_view b) {
  const std::vector<absl::string_view> ours = absl::StrSplit(a, '/'),
                                       theirs = absl::StrSplit(b, '/');
  constexpr const char* kParts[] = {"another machine, or another boot of it", "another user",
                                    "another user namespace", "another mount namespace",
                                    "another root directory"};
  constexpr size_t kCount = sizeof(kParts) / sizeof(kParts[0]);
  if (a.empty() || b.empty()) return "a process that does not tell which host it is on";
  if (ours.size() != kCount || theirs.size() != kCount) return kParts[0];
  for (size_t i = 0; i < kCount; ++i) {
    if (ours[i] != theirs[i]) return kParts[i];
  }
  return "the same host";
}

}  // namespace weir
