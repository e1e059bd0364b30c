// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_http.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace weir {
namespace {

absl::Status Bad(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("bad HTTP message: ", what));
}

bool IsToken(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           absl::StrContains("!#$%&'*+-.^_`|~", absl::string_view(&c, 1));
  });
}

bool IsVisible(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
}

absl::Status ReadLength(absl::string_view value, bool* seen, HttpHead* head) {
  uint64_t length = 0;
  const bool digits = !value.empty() && std::all_of(value.begin(), value.end(), [](char c) {
    return absl::ascii_isdigit(static_cast<unsigned char>(c));
  });
  if (!digits) return Bad("Content-Length is no number");
  if (!absl::SimpleAtoi(value, &length) || length > kMaxHttpBodyBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("HTTP body of ", value, " bytes: at most ", kMaxHttpBodyBytes));
  }
  if (*seen && length != head->content_length) return Bad("two lengths");
  *seen = true;
  head->content_length = length;
  return absl::OkStatus();
}

absl::Status ReadFields(const std::vector<absl::string_view>& lines, HttpHead* head) {
  if (lines.size() - 1 > kMaxHttpFields)
    return absl::ResourceExhaustedError(
        absl::StrCat("HTTP head: more than ", kMaxHttpFields, " fields"));
  bool seen = false;
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t colon = lines[i].find(':');
    if (colon == absl::string_view::npos || !IsToken(lines[i].substr(0, colon)))
      return Bad("a field without a name");
    const absl::string_view name = lines[i].substr(0, colon);
    const absl::string_view value = absl::StripAsciiWhitespace(lines[i].substr(colon + 1));
    if (absl::EqualsIgnoreCase(name, "content-length")) {
      if (absl::Status status = ReadLength(value, &seen, head); !status.ok()) return status;
    } else if (absl::EqualsIgnoreCase(name, "transfer-encoding")) {
      return absl::UnimplementedError("HTTP transfer codings: send a Content-Length");
    } else if (absl::EqualsIgnoreCase(name, "connection")) {
      head->keep_alive = !absl::EqualsIgnoreCase(value, "close");
    }
  }
  return absl::OkStatus();
}

// The lines of a whole head without its blank line; at least one.
absl::StatusOr<std::vector<absl::string_view>> Lines(absl::string_view head) {
  if (!absl::ConsumeSuffix(&head, "\r\n\r\n")) return Bad("its head has no end");
  for (size_t i = 0; i < head.size(); ++i) {
    if (head[i] == '\0' || (head[i] == '\n' && (i == 0 || head[i - 1] != '\r')))
      return Bad("a stray character");
  }
  std::vector<absl::string_view> lines = absl::StrSplit(head, "\r\n");
  return lines;
}

absl::string_view ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 413:
      return "Content Too Large";
    case 501:
      return "Not Implemented";
    default:
      return "Internal Server Error";
  }
}

}  // namespace

absl::StatusOr<size_t> FindHttpHeadEnd(absl::string_view bytes) {
  const size_t found = bytes.substr(0, kMaxHttpHeadBytes).find("\r\n\r\n");
  if (found != absl::string_view::npos) return found + 4;
  if (bytes.size() < kMaxHttpHeadBytes) return absl::string_view::npos;
  return absl::ResourceExhaustedError(
      absl::StrCat("HTTP head: longer than ", kMaxHttpHeadBytes, " bytes"));
}

absl::StatusOr<HttpHead> ParseHttpRequest(absl::string_view head) {
  const auto lines = Lines(head);
  if (!lines.ok()) return lines.status();
  const std::vector<absl::string_view> words = absl::StrSplit(lines->front(), ' ');
  if (words.size() != 3 || !IsToken(words[0]) || !IsVisible(words[1]) || words[2] != "HTTP/1.1")
    return Bad("expected METHOD TARGET HTTP/1.1");
  HttpHead result;
  result.method = std::string(words[0]);
  result.target = std::string(words[1]);
  if (absl::Status status = ReadFields(*lines, &result); !status.ok()) return status;
  return result;
}

absl::StatusOr<HttpHead> ParseHttpReply(absl::string_view head) {
  const auto lines = Lines(head);
  if (!lines.ok()) return lines.status();
  const std::vector<absl::string_view> words =
      absl::StrSplit(lines->front(), absl::MaxSplits(' ', 2));
  HttpHead result;
  if (words.size() < 2 || words[0] != "HTTP/1.1" || words[1].size() != 3 ||
      !absl::SimpleAtoi(words[1], &result.status) || result.status < 100 || result.status > 599) {
    return Bad("expected HTTP/1.1 STATUS REASON");
  }
  if (absl::Status status = ReadFields(*lines, &result); !status.ok()) return status;
  return result;
}

std::string HttpRequest(absl::string_view method, absl::string_view target, absl::string_view host,
                        uint64_t content_length) {
  return absl::StrCat(method, " ", target, " HTTP/1.1\r\nHost: ", host,
                      "\r\nContent-Type: application/json\r\nContent-Length: ", content_length,
                      "\r\n\r\n");
}

std::string HttpReply(int status, uint64_t content_length, bool keep_alive) {
  return absl::StrCat("HTTP/1.1 ", status, " ", ReasonOf(status),
                      "\r\nContent-Type: application/json\r\nContent-Length: ", content_length,
                      keep_alive ? "\r\n\r\n" : "\r\nConnection: close\r\n\r\n");
}

int HttpStatusOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
      return 400;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kResourceExhausted:
      return 413;
    case absl::StatusCode::kUnimplemented:
      return 501;
    default:
      return 500;
  }
}

}  // namespace weir
