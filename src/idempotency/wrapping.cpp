#include <onceward/core/digest.hpp>
#include <onceward/idempotency/wrapping.hpp>

#include <time.h>

#include <algorithm>
#include <array>

namespace onceward::guard_detail {
namespace {

constexpr std::size_t most_kept_bytes = 16384;

constinit thread_local bool thread_ends = false;
/// Texts of a thread that nobody uses now. A guarded call uses two at once, a nested one two more.
struct Spare {
  std::array<std::string, 4> texts;
  std::size_t count = 0;
  ~Spare() { thread_ends = true; }  // what ends after it may still make calls
};
thread_local Spare spare;

void remove_path(Value& value, std::string_view path) {
  auto* const map = value.map();
  if (map == nullptr) return;
  const auto dot = path.find('.');
  const auto name = path.substr(0, dot);
  std::vector<Map::Entry> rest;
  rest.reserve(map->size());
  for (const auto& [known, member] : *map) {
    if (known != name) {
      rest.emplace_back(known, member);
    } else if (dot != std::string_view::npos) {
      auto inner = member;
      remove_path(inner, path.substr(dot + 1));
      rest.emplace_back(known, std::move(inner));
    }
  }
  *map = Map::from_entries(std::move(rest));
}

}  // namespace

Scratch::Scratch() noexcept {
  if (thread_ends || spare.count == 0) return;
  text = std::move(spare.texts[--spare.count]);
  text.clear();
}
Scratch::~Scratch() {
  if (!thread_ends && spare.count < spare.texts.size() && text.capacity() <= most_kept_bytes)
    spare.texts[spare.count++] = std::move(text);
}

Duration since_boot() noexcept {
  timespec time{};
  // Cannot fail: the clock is there since Linux 2.6.39 and the address is valid.
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return std::chrono::seconds(time.tv_sec) +
         std::chrono::duration_cast<Duration>(std::chrono::nanoseconds(time.tv_nsec));
}

void compute_fingerprint(std::string_view payload, Fingerprint& out) noexcept {
  static constexpr std::string_view digits = "0123456789abcdef";
  Sha256 hash;
  hash.update(payload);
  const auto bytes = hash.finish();
  for (std::size_t i = 0; i < out.size() / 2; ++i) {
    out[2 * i] = digits[bytes[i] >> 4];
    out[2 * i + 1] = digits[bytes[i] & 15];
  }
}

void remove_paths(Value& value, const std::vector<std::string>& paths) {
  for (const auto& path : paths) remove_path(value, path);
}

Result<void> check_paths(const std::vector<std::string>& paths, const std::vector<std::string>& known) {
  const auto is_known = [&](std::string_view path) {
    return std::any_of(known.begin(), known.end(), [&](std::string_view one) {
      if (!one.ends_with('*')) return one == path;
      one.remove_suffix(1);
      return path.starts_with(one);
    });
  };
  for (const auto& path : paths) {
    if (is_known(path)) continue;
    std::string names;
    for (const auto& one : known) names.append(names.empty() ? "" : ", ").append(one);
    return fail(ErrorCode::invalid_argument, "Policy::fingerprint_without names \"" + path +
                                                 "\", which is no field of the request; there are " +
                                                 (names.empty() ? "none" : names));
  }
  return {};
}

}  // namespace onceward::guard_detail
