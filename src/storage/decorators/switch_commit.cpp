#include "storage/decorators/switch_commit.hpp"

#include "storage/counter.hpp"
#include "storage/decorators/moved_record.hpp"

#include <map>

namespace onceward::storage_detail {
namespace {

/// A batch as it is sent to a storage that holds some of its records as moved ones: their outer revisions and
/// values are put in the place of what is stored.
struct Translation {
  Batch batch;
  Look look;                                      ///< what it was made for
  std::vector<std::optional<std::int64_t>> sums;  ///< of an add that became a replace, by operation
};

/// The sum of an add to a moved counter; none where it is refused, or is no counter.
std::optional<std::int64_t> sum_of(const Operation& add, const Record& moved) {
  auto record = moved;
  if (!unpack_moved(record)) return std::nullopt;
  const auto current = read_counter(record.value);
  return current ? add_to_counter(*current, add) : std::nullopt;
}

Translation translate(const Batch& batch, Look look) {
  using Kind = Operation::Kind;
  Translation made{{batch.partition, {}}, {}, {}};
  auto& operations = made.batch.operations;
  operations.reserve(batch.operations.size() + 1);
  operations.push_back(Operation::require(std::string(marker_key), look.marker.revision));
  made.sums.resize(batch.operations.size());
  for (std::size_t i = 0; i < batch.operations.size(); ++i) {
    auto operation = batch.operations[i];
    const auto& stored = look.records[i];
    if (stored && is_moved(*stored)) {
      auto shown = *stored;
      if (operation.kind == Kind::add) {
        made.sums[i] = sum_of(operation, *stored);
        if (made.sums[i]) {
          const auto left = [&](const std::optional<Timestamp>& time) -> std::optional<Duration> {
            if (!time) return std::nullopt;
            return std::max(Duration::zero(), Duration(*time - look.now));
          };
          operation = Operation::replace(operation.key, stored->revision, std::to_string(*made.sums[i]),
                                         {left(stored->due), left(stored->expires)});
        }
      } else if (operation.kind != Kind::insert && unpack_moved(shown) &&
                 shown.revision == operation.expected) {
        operation.expected = stored->revision;
      }
    }
    operations.push_back(std::move(operation));
  }
  made.look = std::move(look);
  return made;
}

/// The answer to the caller's batch; nothing where the batch must be looked at again.
Result<std::optional<BatchAnswer>> to_answer(BatchAnswer sent, const Translation& made, const Batch& batch) {
  if (sent.applied()) {
    std::vector<std::int64_t> counters;
    auto next = sent.counters.begin();
    for (std::size_t i = 0; i < batch.operations.size(); ++i) {
      if (batch.operations[i].kind == Operation::Kind::add)
        counters.push_back(made.sums[i] ? *made.sums[i] : *next++);
    }
    sent.counters = std::move(counters);
    return std::optional(std::move(sent));
  }
  if (sent.refused == 0) return std::optional<BatchAnswer>();  // the marker: the partition moved
  --sent.refused;
  if (made.sums[sent.refused]) return std::optional<BatchAnswer>();  // the counter changed since the look
  if (sent.found && is_moved(*sent.found)) {
    const auto& known = made.look.records[sent.refused];
    if (!known || known->revision != sent.found->revision) return std::optional<BatchAnswer>();
    if (!unpack_moved(*sent.found))
      return fail(ErrorCode::corrupt, "a moved record is not what this version writes");
  }
  return std::optional(std::move(sent));
}

/// One partition's batches of a span that are ready to be sent.
struct Ready {
  Marker marker{};             ///< what they require
  std::optional<Look> look{};  ///< the records of their operations, one after the other; none: not asked
  std::vector<std::size_t> places{};  ///< in the span
};

/// A span on its way. All that is not refused by a marker is sent in one commit, so that it has one time;
/// what is refused is prepared and sent again, with what stands behind it in the same partition.
class Span {
 public:
  Span(SwitchCore& core, std::span<const Batch> batches) : core_(core), batches_(batches) {
    answer_.now = Timestamp::max();
    answer_.batches.resize(batches.size());
    for (std::size_t i = 0; i < batches.size(); ++i) pending_[batches[i].partition].push_back(i);
  }

  Result<CommitAnswer> run() {
    const Patience patience(core_.options().patience);
    for (bool first_try = true; !pending_.empty(); first_try = false) {
      if (!first_try && patience.spent()) return stop(Patience::error(pending_.begin()->first));
      generation_ = core_.generation();
      top_ = primary_of(generation_, core_.origin());
      std::vector<Ready> ready;
      for (const auto& [partition, places] : pending_) {
        auto prepared = first_try ? without_look(partition, places) : std::nullopt;
        if (!prepared) {
          auto looked = with_look(partition, places, patience);
          if (!looked) return stop(std::move(looked).error());
          prepared = *std::move(looked);
        }
        if (!prepared) break;  // another generation has begun
        ready.push_back(*std::move(prepared));
      }
      if (ready.size() < pending_.size()) continue;
      if (auto sent = send(ready); !sent) return stop(std::move(sent).error());
    }
    return std::move(answer_);
  }

 private:
  Result<CommitAnswer> stop(Error error) const {
    return fail(applied_ ? after_applied(std::move(error)) : std::move(error));
  }

  /// What is known to lie whole in the primary is tried at once.
  [[nodiscard]] std::optional<Ready> without_look(std::string_view partition,
                                                  const std::vector<std::size_t>& places) const {
    const auto marker = core_.known(generation_, partition);
    if (!marker) return std::nullopt;
    // A partition that was moved may hold records as moved ones, whose batches are sent a second time: no
    // later batch of the partition may go before them.
    if (marker->state != Marker::State::none && places.size() > 1) return std::nullopt;
    return Ready{*marker, std::nullopt, places};
  }

  /// Opens the partition and moves its records until the batches can be sent. Nothing where another
  /// generation has begun.
  Result<std::optional<Ready>> with_look(std::string_view partition, std::vector<std::size_t> places,
                                         const Patience& patience) {
    std::vector<std::string_view> keys;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const auto& operations = batches_[places[i]].operations;
      if (keys.size() + operations.size() > limits::span_reads) places.resize(i);
      if (i == places.size()) break;
      for (const auto& operation : operations) keys.push_back(operation.key);
    }
    const bool is_origin = top_ == core_.origin();
    for (bool first_try = true; first_try || !patience.spent(); first_try = false) {
      auto there = core_.look(top_, partition, keys);
      if (!there) return fail(before_write(std::move(there).error()));
      if (core_.learns_from(there->marker, generation_) || core_.generation() != generation_)
        return std::optional<Ready>();
      if (!there->marker.writable(is_origin)) {
        if (auto opened = core_.open_partition(partition, generation_, there->marker); !opened)
          return fail(std::move(opened).error());
        continue;
      }
      if (there->marker.complete(is_origin)) {
        core_.remember(generation_, partition, there->marker);
        return std::optional(ready_of(std::move(places), *std::move(there)));
      }
      const auto here = core_.look(other_side(top_), partition, keys);
      if (!here) return fail(before_write(here.error()));
      if (core_.learns_from(here->marker, generation_)) return std::optional<Ready>();
      if (here->marker.state != Marker::State::frozen) continue;
      const bool left = std::any_of(here->records.begin(), here->records.end(),
                                    [](const auto& record) { return record.has_value(); });
      if (!left) return std::optional(ready_of(std::move(places), *std::move(there)));
      auto moved = core_.move(top_, partition, keys, *there, *here);
      if (!moved) return fail(std::move(moved).error());
    }
    return fail(Patience::error(partition));
  }

  /// Of batches about moved records only the first is sent: it changes what the next ones find.
  [[nodiscard]] Ready ready_of(std::vector<std::size_t> places, Look look) const {
    const bool moved = std::any_of(look.records.begin(), look.records.end(),
                                   [](const auto& record) { return record && is_moved(*record); });
    if (moved) places.resize(1);
    const auto marker = look.marker;
    return Ready{marker, std::move(look), std::move(places)};
  }

  Result<void> send(std::vector<Ready>& ready) {
    std::vector<Translation> made;
    std::vector<std::size_t> places;
    std::vector<Batch> sent;
    for (auto& [marker, look, own] : ready) {
      std::size_t first = 0;
      for (const auto place : own) {
        const auto& batch = batches_[place];
        Look part{look ? look->now : Timestamp{}, marker, {}};
        if (look) {
          const auto from = look->records.begin() + static_cast<std::ptrdiff_t>(first);
          part.records.assign(from, from + static_cast<std::ptrdiff_t>(batch.operations.size()));
          first += batch.operations.size();
        } else {
          part.records.resize(batch.operations.size());
        }
        made.push_back(translate(batch, std::move(part)));
        places.push_back(place);
        sent.push_back(std::move(made.back().batch));
      }
    }
    auto answered = core_.at(top_).commit(sent);
    if (!answered) return fail(core_.named(top_, std::move(answered).error()));
    core_.lift(top_).apply(*answered);
    for (std::size_t i = 0; i < places.size(); ++i) {
      const auto& batch = batches_[places[i]];
      auto answer = to_answer(std::move(answered->batches[i]), made[i], batch);
      if (!answer) return fail(core_.named(top_, std::move(answer).error()));
      if (!*answer) continue;
      applied_ = applied_ || (*answer)->applied();
      answer_.now = std::min(answer_.now, answered->now);
      answer_.batches[places[i]] = *std::move(*answer);
      const auto found = pending_.find(batch.partition);
      std::erase(found->second, places[i]);
      if (found->second.empty()) pending_.erase(found);
    }
    return {};
  }

  SwitchCore& core_;
  std::span<const Batch> batches_;
  CommitAnswer answer_;
  std::map<std::string_view, std::vector<std::size_t>> pending_;  ///< places by partition, in order
  std::int64_t generation_ = 0;
  Side top_ = 0;
  bool applied_ = false;
};

}  // namespace

Result<CommitAnswer> switch_commit(SwitchCore& core, std::span<const Batch> batches) {
  return Span(core, batches).run();
}

}  // namespace onceward::storage_detail
