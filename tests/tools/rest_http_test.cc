// SPDX-License-Identifier: Apache-2.0
#include "tools/rest_http.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace weir {
namespace {

absl::StatusCode RequestCode(absl::string_view head) {
  return ParseHttpRequest(head).status().code();
}

TEST(RestHttpTest, RequestComesBackAsItWasWritten) {
  const std::string text = HttpRequest("POST", "/v1/tensors/fc.bias", "127.0.0.1:80", 123);
  const auto end = FindHttpHeadEnd(text + "body");
  ASSERT_TRUE(end.ok());
  EXPECT_EQ(*end, text.size());
  const auto head = ParseHttpRequest(text);
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->method, "POST");
  EXPECT_EQ(head->target, "/v1/tensors/fc.bias");
  EXPECT_EQ(head->content_length, 123u);
  EXPECT_TRUE(head->keep_alive);
}

TEST(RestHttpTest, ReplyComesBackAsItWasWritten) {
  const auto head = ParseHttpReply(HttpReply(404, 7, /*keep_alive=*/false));
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->status, 404);
  EXPECT_EQ(head->content_length, 7u);
  EXPECT_FALSE(head->keep_alive);
}

TEST(RestHttpTest, FieldNamesAreReadInAnyCaseAndSpaceAroundValuesIsIgnored) {
  const auto head = ParseHttpRequest("GET /x HTTP/1.1\r\ncontent-LENGTH:\t 5 \r\nA: b\r\n\r\n");
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->content_length, 5u);
}

TEST(RestHttpTest, HeadWithoutAnEndIsWaitedForUntilItIsTooLong) {
  const auto part = FindHttpHeadEnd("GET / HTTP/1.1\r\nA: b\r\n");
  ASSERT_TRUE(part.ok());
  EXPECT_EQ(*part, absl::string_view::npos);
  EXPECT_EQ(FindHttpHeadEnd(std::string(kMaxHttpHeadBytes, 'a')).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(RestHttpTest, WhatIsNotHttp11IsRefused) {
  for (const char* head :
       {"", "\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.0\r\n\r\n", "GET / HTTP/2\r\n\r\n",
        "GET  / HTTP/1.1\r\n\r\n", "G(T / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1 x\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n", "GET / HTTP/1.1\r\n: x\r\n\r\n",
        "GET / HTTP/1.1\r\n folded: x\r\n\r\n", "GET / HTTP/1.1\nA: b\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\n\r\n\r\n", "GET / HTTP/1.1\r\nA: b\r\n",
        "GET / HTTP/1.1\r\nContent-Length: \r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"}) {
    EXPECT_EQ(RequestCode(head), absl::StatusCode::kInvalidArgument) << head;
  }
  for (const char* head :
       {"", "HTTP/1.1\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 999 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n"}) {
    EXPECT_EQ(ParseHttpReply(head).status().code(), absl::StatusCode::kInvalidArgument) << head;
  }
}

TEST(RestHttpTest, NulInAHeadIsRefused) {
  EXPECT_EQ(RequestCode(absl::string_view("GET / HTTP/1.1\r\nA: \0\r\n\r\n", 24)),
            absl::StatusCode::kInvalidArgument);
}

TEST(RestHttpTest, BodyOverTheLimitIsRefused) {
  for (const std::string& length :
       {absl::StrCat(kMaxHttpBodyBytes + 1), std::string("99999999999999999999999999")}) {
    EXPECT_EQ(RequestCode(absl::StrCat("POST / HTTP/1.1\r\nContent-Length: ", length, "\r\n\r\n")),
              absl::StatusCode::kResourceExhausted);
  }
  EXPECT_EQ(RequestCode(
                absl::StrCat("POST / HTTP/1.1\r\nContent-Length: ", kMaxHttpBodyBytes, "\r\n\r\n")),
            absl::StatusCode::kOk);
}

TEST(RestHttpTest, TooManyFieldsAreRefused) {
  std::string head = "GET / HTTP/1.1\r\n";
  for (size_t i = 0; i < kMaxHttpFields + 1; ++i) absl::StrAppend(&head, "A: b\r\n");
  EXPECT_EQ(RequestCode(head + "\r\n"), absl::StatusCode::kResourceExhausted);
}

TEST(RestHttpTest, TransferCodingIsUnimplemented) {
  EXPECT_EQ(RequestCode("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            absl::StatusCode::kUnimplemented);
}

TEST(RestHttpTest, EveryStatusHasAnAnswer) {
  EXPECT_EQ(HttpStatusOf(absl::OkStatus()), 200);
  EXPECT_EQ(HttpStatusOf(absl::InvalidArgumentError("")), 400);
  EXPECT_EQ(HttpStatusOf(absl::NotFoundError("")), 404);
  EXPECT_EQ(HttpStatusOf(absl::ResourceExhaustedError("")), 413);
  EXPECT_EQ(HttpStatusOf(absl::UnimplementedError("")), 501);
  EXPECT_EQ(HttpStatusOf(absl::InternalError("")), 500);
}

}  // namespace
}  // namespace weir
