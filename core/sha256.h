// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_CORE_SHA256_H_
#define WEIR_CORE_SHA256_H_

#include <cstddef>
#include <memory>
#include <string>

namespace weir {

// SHA-256 of bytes that come in pieces; OpenSSL does the work. Not thread-safe. The library's
// failures (it has none here but a failed allocation) end the process.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  // Appends bytes; null with size 0 is fine.
  void Update(const void* data, size_t size);

  // The digest of everything since construction or the last FinishHex, as 64 lower-case hexadecimal
  // digits. Starts over.
  std::string FinishHex();

 private:
  void Start();

  struct Context;
  std::unique_ptr<Context> context_;
};

}  // namespace weir

#endif  // WEIR_CORE_SHA256_H_
