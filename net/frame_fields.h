// SPDX-License-Identifier: Apache-2.0
#ifndef WEIR_NET_FRAME_FIELDS_H_
#define WEIR_NET_FRAME_FIELDS_H_

#include <cstdint>
#include <type_traits>
#include <utility>
#include <variant>

#include "net/frame.h"

namespace weir::frame_fields {

// The one list of the fields of each frame: their numbers, in rising order, and the members that
// hold them. Whatever reads or writes frames is a visitor `v` of these lists; part of the codec,
// not for others.
//
// A visitor has: U64, U32, Bool, Double, Enum (a uint8_t enum), Int32Number (an enum kept as
// uint32_t), Text, Bytes, Texts, U32s and I64s (packed), Message, Messages, Data (the payload).

template <typename Kind>
struct FieldsOf;

// Visits the fields of `kind`, const or not.
template <typename Visitor, typename Kind>
void VisitFields(Visitor& v, Kind& kind) {
  FieldsOf<std::remove_const_t<Kind>>::Visit(v, kind);
}

// What the wire calls PushPull: a message around a push.
template <typename Push>
struct PushPullMessage {
  Push& push;
};

template <>
struct FieldsOf<HelloFrame> {
  static constexpr uint32_t kNumber = 16;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.U32(1, f.protocol_min);
    v.U32(2, f.protocol_max);
    v.U64(3, f.features);
    v.Bytes(4, f.job_id);
    v.Text(5, f.job_token);
    v.Enum(6, f.role);
    v.U64(7, f.worker_id);
    v.U64(8, f.incarnation);
    v.U64(9, f.session_nonce);
    v.U32(10, f.lane);
    v.U32(11, f.shard);
    v.Text(12, f.build_id);
  }
};

template <>
struct FieldsOf<BindFrame> {
  static constexpr uint32_t kNumber = 17;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.Texts(1, f.layer_names);
  }
};

template <>
struct FieldsOf<PullFrame> {
  static constexpr uint32_t kNumber = 18;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.Text(1, f.layer_name);
    v.U32(2, f.tensor_id);
    v.U64(3, f.worker_id);
    v.U64(4, f.version);
    v.Enum(5, f.condition);
    v.U64(6, f.offset);
    v.U64(7, f.count);
    v.Enum(8, f.codec);
  }
};

template <>
struct FieldsOf<PushFrame> {
  static constexpr uint32_t kNumber = 19;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.Text(1, f.layer_name);
    v.U32(2, f.tensor_id);
    v.U64(3, f.worker_id);
    v.U64(4, f.sequence);
    v.U64(5, f.lowest_pending);
    v.U64(6, f.base_version);
    v.Enum(7, f.atomicity);
    v.U64(8, f.offset);
    v.U64(9, f.count);
    v.U64(10, f.step);
    v.U32(11, f.first_part);
    v.U32(12, f.parts);
    v.U64(13, f.batch);
    v.U64(14, f.examples);
    v.Enum(15, f.codec);
    v.Bool(16, f.want_values);
    v.Double(17, f.learning_rate);
    v.Enum(18, f.values_codec);
    v.Data(2047, f.gradient);
  }
};

template <typename Push>
struct FieldsOf<PushPullMessage<Push>> {
  static constexpr uint32_t kNumber = 20;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.Message(1, f.push);
  }
};

template <>
struct FieldsOf<SyncFrame> {
  static constexpr uint32_t kNumber = 21;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.U32s(1, f.tensor_ids);
    v.Bool(2, f.at_step);
    v.U64(3, f.step);
    v.Bool(4, f.encoded);
  }
};

template <>
struct FieldsOf<LeaveFrame> {
  static constexpr uint32_t kNumber = 22;
  template <typename V, typename F>
  static void Visit(V&, F&) {}
};

template <>
struct FieldsOf<PutStateFrame> {
  static constexpr uint32_t kNumber = 23;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.U64(1, f.sequence);
    v.Data(2047, f.state);
  }
};

template <>
struct FieldsOf<GetStateFrame> {
  static constexpr uint32_t kNumber = 24;
  template <typename V, typename F>
  static void Visit(V&, F&) {}
};

template <>
struct FieldsOf<HelloReplyFrame> {
  static constexpr uint32_t kNumber = 16;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.U32(1, f.protocol);
    v.U64(2, f.features);
    v.U32(3, f.shard);
    v.Int32Number(4, f.mode);
    v.U32(5, f.gradient_shards);
    v.U64(6, f.max_requests);
    v.U64(7, f.max_push_bytes);
    v.U64(8, f.max_reply_bytes);
    v.U64(9, f.max_frame_bytes);
    v.U32(10, f.max_wait_ms);
    v.U32(11, f.write_timeout_ms);
    v.U64(12, f.last_sequence);
    v.U64(13, f.last_batch);
    v.Bool(14, f.has_max_staleness);
    v.U64(15, f.max_staleness);
    v.Text(16, f.build_id);
    v.Text(17, f.shm_socket);
    v.Bytes(18, f.shm_key);
    v.U64(19, f.next_batch);
    v.U64(20, f.clock);
  }
};

template <>
struct FieldsOf<BindReplyFrame::Binding> {
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.Text(1, f.layer_name);
    v.U32(2, f.tensor_id);
    v.I64s(3, f.shape);
  }
};

template <>
struct FieldsOf<SliceSpec> {
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.U32(1, f.tensor_id);
    v.U64(2, f.offset);
    v.U64(3, f.count);
    v.U32(4, f.shard);
  }
};

template <>
struct FieldsOf<BindReplyFrame> {
  static constexpr uint32_t kNumber = 17;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.Messages(1, f.bindings);
    v.Messages(2, f.slices);
  }
};

template <>
struct FieldsOf<PullReplyFrame> {
  static constexpr uint32_t kNumber = 18;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.Text(1, f.layer_name);
    v.U32(2, f.tensor_id);
    v.U64(3, f.version);
    v.Bool(4, f.stale);
    v.Bool(5, f.not_modified);
    v.U64(6, f.offset);
    v.U64(7, f.count);
    v.U32(8, f.remaining);
    v.Enum(9, f.codec);
    v.Data(2047, f.tensor_data);
  }
};

template <>
struct FieldsOf<PushReplyFrame> {
  static constexpr uint32_t kNumber = 19;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.U64(1, f.sequence);
    v.U32(2, f.tensor_id);
    v.U64(3, f.offset);
    v.Enum(4, f.outcome);
    v.Enum(5, f.first);
    v.U64(6, f.version);
    v.U64(7, f.count);
    v.U32(8, f.retry_after_ms);
    v.Text(9, f.reason);
    v.Enum(10, f.codec);
    v.U64(11, f.clocks_ahead);
    v.Data(2047, f.tensor_data);
  }
};

template <>
struct FieldsOf<LeaveReplyFrame> {
  static constexpr uint32_t kNumber = 20;
  template <typename V, typename F>
  static void Visit(V&, F&) {}
};

template <>
struct FieldsOf<StateReplyFrame> {
  static constexpr uint32_t kNumber = 21;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.U64(1, f.sequence);
    v.Data(2047, f.state);
  }
};

template <>
struct FieldsOf<CreditFrame> {
  static constexpr uint32_t kNumber = 22;
  template <typename V, typename F>
  static void Visit(V&, F&) {}
};

template <>
struct FieldsOf<ErrorReplyFrame> {
  static constexpr uint32_t kNumber = 23;
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.Enum(1, f.outcome);
    v.Text(2, f.reason);
  }
};

// The envelope's fields, without the kind.
template <>
struct FieldsOf<ClientFrame> {
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.U64(1, f.request_id);
    v.U32(2, f.deadline_ms);
    v.U64(3, f.epoch);
    v.U64(4, f.trace_id);
  }
};

template <>
struct FieldsOf<ServerFrame> {
  template <typename V, typename F>
  static void Visit(V& v, F& f) {
    v.U64(1, f.request_id);
    v.U64(3, f.epoch);
    v.U64(4, f.trace_id);
    v.U64(5, f.push_bytes_released);
  }
};

// Of the kind that holds frames, which is none to a Frame.
template <typename Frame>
constexpr uint32_t kBatchNumber = 0;
template <>
inline constexpr uint32_t kBatchNumber<ClientFrame> = 25;
template <>
inline constexpr uint32_t kBatchNumber<ServerFrame> = 24;

// Makes `frame` hold the kind of field `number`, empty; false when there is none of that number.
template <typename Frame, typename Kind>
bool EmplaceIf(uint32_t number, Frame* frame) {
  if (number != FieldsOf<Kind>::kNumber) return false;
  frame->kind.template emplace<Kind>();
  return true;
}

inline bool EmplaceKind(uint32_t number, ClientFrame* frame) {
  using F = ClientFrame;
  if (number == FieldsOf<PushPullMessage<PushFrame>>::kNumber) {
    frame->kind.emplace<PushFrame>().is_push_pull = true;
    return true;
  }
  if (EmplaceIf<F, HelloFrame>(number, frame)) {
    auto& hello = std::get<HelloFrame>(frame->kind);
    hello.protocol_min = hello.protocol_max = 0;  // what the wire leaves out is 0
    return true;
  }
  return EmplaceIf<F, BindFrame>(number, frame) || EmplaceIf<F, PullFrame>(number, frame) ||
         EmplaceIf<F, PushFrame>(number, frame) || EmplaceIf<F, SyncFrame>(number, frame) ||
         EmplaceIf<F, LeaveFrame>(number, frame) || EmplaceIf<F, PutStateFrame>(number, frame) ||
         EmplaceIf<F, GetStateFrame>(number, frame);
}

inline bool EmplaceKind(uint32_t number, ServerFrame* frame) {
  using F = ServerFrame;
  return EmplaceIf<F, HelloReplyFrame>(number, frame) ||
         EmplaceIf<F, BindReplyFrame>(number, frame) ||
         EmplaceIf<F, PullReplyFrame>(number, frame) ||
         EmplaceIf<F, PushReplyFrame>(number, frame) ||
         EmplaceIf<F, LeaveReplyFrame>(number, frame) ||
         EmplaceIf<F, StateReplyFrame>(number, frame) || EmplaceIf<F, CreditFrame>(number, frame) ||
         EmplaceIf<F, ErrorReplyFrame>(number, frame);
}

// Calls use(number, kind) with the kind that `frame` holds; not for an UnknownFrame. Frame is const
// or not.
template <typename Frame, typename Use>
void VisitKind(Frame& frame, Use&& use) {
  std::visit(
      [&use](auto& kind) {
        using Qualified = std::remove_reference_t<decltype(kind)>;
        using Kind = std::remove_const_t<Qualified>;
        if constexpr (std::is_same_v<Kind, PushFrame>) {
          if (kind.is_push_pull) {
            PushPullMessage<Qualified> message{kind};
            use(FieldsOf<PushPullMessage<Qualified>>::kNumber, message);
            return;
          }
        }
        if constexpr (!std::is_same_v<Kind, UnknownFrame>) use(FieldsOf<Kind>::kNumber, kind);
      },
      frame.kind);
}

// What reading leaves to be settled: a push-pull wants values.
inline void Settle(ClientFrame* frame) {
  auto* push = std::get_if<PushFrame>(&frame->kind);
  if (push != nullptr && push->is_push_pull) push->want_values = true;
}
inline void Settle(ServerFrame*) {}

}  // namespace weir::frame_fields

#endif  // WEIR_NET_FRAME_FIELDS_H_
