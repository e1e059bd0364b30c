// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_STATUS_H_
#define WEIR_STATUS_H_

#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace weir {

// Why a call failed, chosen by what the caller does next.
enum class StatusCode {
  kOk = 0,
  kInvalidArgument,     // the caller's mistake; the message says which argument. Do not retry.
  kNotFound,            // a name that is not declared. Do not retry.
  kFailedPrecondition,  // the call does not fit the state (not declared, fenced, wrong job). Do not
                        // retry.
  kAborted,  // the state moved on (stale, moved): refresh by Sync or Pull, recompute, try again.
  kUnavailable,        // nothing happened: the same call may be made again.
  kDeadlineExceeded,   // it may have happened: ask again with the same sequence.
  kResourceExhausted,  // a limit; the message names it and its value.
  kUnimplemented,      // not supported by this build or this version; the message says what is.
  kCancelled,          // the caller closed the worker or cancelled the call.
  kDataLoss,           // a file or a frame is damaged.
  kInternal,           // a bug of Weir: please report it.
};

// The name of `code` in words, e.g. "invalid argument".
const char* StatusCodeName(StatusCode code);

// How a call ended. Cheap to copy when ok.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  // "ok", or "<code in words>: <message>".
  std::string ToString() const;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

// A value, or the Status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT: implicit by design
  Result(Status status) : status_(std::move(status)) {  // NOLINT: implicit by design
    if (status_.ok()) status_ = Status(StatusCode::kInternal, "ok without a value");
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  // REQUIRES: ok(). Ends the program otherwise.
  T& value() & { return Checked(); }
  const T& value() const& { return const_cast<Result*>(this)->Checked(); }
  T&& value() && { return std::move(Checked()); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }

 private:
  T& Checked() {
    if (!value_) std::abort();
    return *value_;
  }

  Status status_;
  std::optional<T> value_;
};

}  // namespace weir

#endif  // WEIR_STATUS_H_
