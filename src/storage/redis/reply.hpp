#pragma once
#include <hiredis/hiredis.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace onceward::redis::detail {

struct FreeReply {
  void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
};
/// One answer of the server, with what it contains.
using Reply = std::unique_ptr<redisReply, FreeReply>;

inline std::string_view text_of(const redisReply& reply) noexcept {
  return reply.str == nullptr ? std::string_view() : std::string_view(reply.str, reply.len);
}
inline std::span<redisReply* const> elements_of(const redisReply& reply) noexcept {
  return {reply.element, reply.type == REDIS_REPLY_ARRAY ? reply.elements : 0};
}
inline bool is_error(const redisReply& reply) noexcept { return reply.type == REDIS_REPLY_ERROR; }
inline bool is_text(const redisReply& reply) noexcept { return reply.type == REDIS_REPLY_STRING; }
inline bool is_integer(const redisReply& reply) noexcept { return reply.type == REDIS_REPLY_INTEGER; }

}  // namespace onceward::redis::detail
