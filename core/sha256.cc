// SPDX-License-Identifier: Apache-2.0
#include "core/sha256.h"

#include <openssl/evp.h>

#include <cstdlib>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace weir {
namespace {

void Require(bool ok) {
  if (!ok) std::abort();  // out of memory, or a library without SHA-256
}

}  // namespace

struct Sha256::Context {
  EVP_MD_CTX* evp = EVP_MD_CTX_new();
  ~Context() { EVP_MD_CTX_free(evp); }
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  Require(context_->evp != nullptr);
  Start();
}

Sha256::~Sha256() = default;

void Sha256::Start() { Require(EVP_DigestInit_ex(context_->evp, EVP_sha256(), nullptr) == 1); }

void Sha256::Update(const void* data, size_t size) {
  if (size > 0) Require(EVP_DigestUpdate(context_->evp, data, size) == 1);
}

std::string Sha256::FinishHex() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  Require(EVP_DigestFinal_ex(context_->evp, digest, &size) == 1);
  Start();
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(digest), size));
}

}  // namespace weir
