#include "crash.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>

namespace loyalty {
namespace {

constexpr std::array<std::string_view, 10> names = {
    "commit.before",  "commit.after",  "read.before",   "read.after",     "business.before",
    "business.after", "publish.after", "ledger.before", "ledger.written", "ledger.renamed",
};

}  // namespace

std::string crash_point_names() {
  std::string text;
  for (const auto name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

onceward::Result<CrashAt> parse_crash_at(std::string_view text) {
  const auto colon = text.find(':');
  const auto name = text.substr(0, colon);
  CrashAt at;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) at.point = static_cast<CrashPoint>(i);
  }
  if (!at.point) {
    return onceward::fail(
        onceward::ErrorCode::invalid_argument,
        fmt::format("there is no crash point \"{}\"; known are {}", name, crash_point_names()));
  }
  if (colon == std::string_view::npos) return at;
  const auto count = text.substr(colon + 1);
  const auto [end, error] = std::from_chars(count.data(), count.data() + count.size(), at.nth);
  if (error != std::errc() || end != count.data() + count.size() || at.nth < 1) {
    return onceward::fail(onceward::ErrorCode::invalid_argument,
                          fmt::format("\"{}\" after the crash point is no whole number from 1", count));
  }
  return at;
}

void CrashPoints::die() noexcept {
  std::raise(SIGKILL);
  std::abort();
}

onceward::Result<onceward::CommitAnswer> CrashingStorage::commit(std::span<const onceward::Batch> batches) {
  points_.reached(CrashPoint::commit_before);
  auto answer = inner_.commit(batches);
  points_.reached(CrashPoint::commit_after);
  return answer;
}

onceward::Result<onceward::ReadAnswer> CrashingStorage::read(std::span<const onceward::RecordRef> records) {
  points_.reached(CrashPoint::read_before);
  auto answer = inner_.read(records);
  points_.reached(CrashPoint::read_after);
  return answer;
}

onceward::Result<onceward::ScanPage> CrashingStorage::scan(std::string_view partition,
                                                           std::string_view prefix, std::string_view cursor,
                                                           std::size_t limit) {
  return inner_.scan(partition, prefix, cursor, limit);
}

onceward::Result<onceward::DuePage> CrashingStorage::due(std::span<const onceward::Shard> shards,
                                                         std::size_t limit) {
  return inner_.due(shards, limit);
}

onceward::Shard CrashingStorage::shard_count() const noexcept { return inner_.shard_count(); }

}  // namespace loyalty
