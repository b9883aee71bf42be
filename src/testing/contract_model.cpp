#include "testing/contract_harness.hpp"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <random>

namespace onceward::testing::contract_detail {
namespace {

/// What a storage is, in the simplest words: a map. It takes the time and the revisions from the answers and
/// says what else they must hold.
class Model {
 public:
  void check_commit(Contract& contract, const std::vector<Batch>& batches, const CommitAnswer& answer) {
    now_ = answer.now;
    for (std::size_t i = 0; i < batches.size(); ++i) check_batch(contract, batches[i], answer.batches[i]);
  }

  void check_reads(Contract& contract, const std::string& partition, const std::string& prefix) {
    const auto page = scan(contract, partition, prefix);
    now_ = page.now;
    std::vector<Record> wanted;
    for (const auto& [place, record] : records_) {
      if (place.first == partition && place.second.starts_with(prefix) && live(record))
        wanted.push_back(record);
    }
    EXPECT_EQ(page.records, wanted);
  }

  void check_due(Contract& contract) {
    const auto page = due(contract);
    now_ = page.now;
    std::map<Place, Record> wanted;
    std::optional<Timestamp> next;
    for (const auto& [place, record] : records_) {
      if (!record.due || !live(record)) continue;
      if (*record.due <= now_) wanted.emplace(place, record);
      if (*record.due > now_ && (!next || *record.due < *next)) next = record.due;
    }
    std::map<Place, Record> found;
    for (const auto& entry : page.entries)
      found.emplace(Place(entry.partition, entry.record.key), entry.record);
    EXPECT(found == wanted);
    EXPECT_EQ(page.entries.size(), wanted.size());
    if (next) EXPECT(page.next && *page.next <= *next);
  }

  [[nodiscard]] Revision known(const std::string& partition, const std::string& key) const {
    const auto found = records_.find({partition, key});
    return found == records_.end() ? absent : found->second.revision;
  }

 private:
  using Place = std::pair<std::string, std::string>;

  [[nodiscard]] bool live(const Record& record) const { return !record.expires || *record.expires > now_; }
  [[nodiscard]] std::optional<Timestamp> after(const std::optional<Duration>& duration) const {
    return duration ? std::optional(now_ + *duration) : std::nullopt;
  }
  [[nodiscard]] std::optional<Record> find(const Place& place) const {
    const auto found = records_.find(place);
    return found != records_.end() && live(found->second) ? std::optional(found->second) : std::nullopt;
  }

  static std::optional<std::int64_t> sum_of(const std::optional<Record>& found, const Operation& add) {
    std::int64_t number = 0;
    if (found) {
      const auto& text = found->value;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    }
    number += add.delta;  // the cases keep far from 64 bits
    return number < add.least || number > add.most ? std::nullopt : std::optional(number);
  }

  void check_batch(Contract& contract, const Batch& batch, const BatchAnswer& answer) {
    std::vector<std::int64_t> counters;
    for (std::size_t i = 0; i < batch.operations.size(); ++i) {
      const auto& operation = batch.operations[i];
      const auto found = find({batch.partition, operation.key});
      bool holds = (found ? found->revision : absent) == operation.expected;
      if (operation.kind == Operation::Kind::insert) holds = !found;
      if (operation.kind == Operation::Kind::add) {
        const auto sum = sum_of(found, operation);
        holds = sum.has_value();
        if (sum) counters.push_back(*sum);
      }
      if (holds) continue;
      EXPECT_EQ(answer.refused, i);
      EXPECT_EQ(answer.found, found);
      return;
    }
    EXPECT(answer.applied());
    EXPECT_EQ(answer.counters, counters);
    std::size_t counted = 0;
    for (const auto& operation : batch.operations)
      write(contract, batch, operation, answer, counters, counted);
  }

  void write(Contract& contract, const Batch& batch, const Operation& operation, const BatchAnswer& answer,
             const std::vector<std::int64_t>& counters, std::size_t& counted) {
    using Kind = Operation::Kind;
    const Place place(batch.partition, operation.key);
    if (operation.kind == Kind::require) return;
    if (operation.kind == Kind::remove) {
      records_.erase(place);
      return;
    }
    EXPECT(answer.revision > highest_[place]);
    EXPECT(answer.revision >= now_.time_since_epoch().count());
    highest_[place] = answer.revision;
    const auto found = find(place);
    Record record{operation.key, operation.value, answer.revision, after(operation.timing.due_in),
                  after(operation.timing.expires_in)};
    if (operation.kind == Kind::add) {
      record.value = std::to_string(counters[counted++]);
      if (found) {
        record.due = found->due;
        record.expires = found->expires;
      }
    }
    records_[place] = std::move(record);
  }

  Timestamp now_{};
  std::map<Place, Record> records_;
  std::map<Place, Revision> highest_;
};

enum class Times : std::uint8_t { none, random };

Operation random_operation(std::mt19937& dice, Times times, const std::string& key, Revision known,
                           int turn) {
  const auto roll = [&](unsigned most) { return static_cast<int>(dice() % most); };
  Timing timing;
  if (times == Times::random) {
    if (roll(3) == 0) timing.due_in = ticks(roll(4));
    if (roll(3) == 0) timing.expires_in = ticks(roll(4));
  }
  if (known == absent || roll(8) == 0) known = roll(2) == 0 ? known + 1 : Revision{1};
  const auto value = roll(3) == 0 ? fmt::format("v{}", turn) : std::to_string(roll(5));
  switch (roll(7)) {
    case 0: return Op::remove(key, known);
    case 1: return Op::require(key, roll(2) == 0 ? absent : known);
    case 2:
    case 3: return Op::replace(key, known, value, timing);
    case 4: return Op::add(key, roll(7) - 3, -4, 4, timing);
    default: return Op::insert(key, value, timing);
  }
}

void random_walk(Contract& contract, unsigned seed, Times times = Times::random) {
  std::mt19937 dice(seed);
  Model model;
  const std::vector<std::string> partitions{"shop/ann", "shop/bob", "shop/cat"};
  for (int turn = 0; turn < 150 && contract.failures().empty(); ++turn) {
    std::vector<Batch> span(1 + dice() % 4);
    for (auto& batch : span) {
      batch.partition = partitions[dice() % partitions.size()];
      for (const auto* key : {"a", "a\xff", "ab", "b", "c"}) {
        if (dice() % 3 != 0) continue;
        const auto known = model.known(batch.partition, key);
        batch.operations.push_back(random_operation(dice, times, key, known, turn));
      }
      if (batch.operations.empty()) batch.operations.push_back(Op::add("a", 1));
    }
    model.check_commit(contract, span, commit(contract, span));
    model.check_reads(contract, partitions[dice() % partitions.size()], dice() % 2 == 0 ? "" : "a");
    if (dice() % 4 == 0) model.check_due(contract);
    if (dice() % 3 == 0) contract.clock().advance(dice() % 2 == 0 ? ticks(1) : Duration(1));
  }
}

constexpr ContractCase cases[] = {
    {"random spans are answered as a map would answer them",
     [](Contract& contract) { random_walk(contract, 1); },
     {.one_clock = true}},
    {"other random spans are answered as a map would answer them",
     [](Contract& contract) { random_walk(contract, 2); },
     {.one_clock = true}},
    {"random spans without due times and expiries are answered as a map would answer them",
     [](Contract& contract) { random_walk(contract, 4, Times::none); }},
    {"random spans that begin with records of another time are answered as a map would answer them",
     [](Contract& contract) {
       contract.clock().advance(ticks(1'000'000));
       random_walk(contract, 3);
     },
     {.one_clock = true}},
};

}  // namespace

std::span<const ContractCase> model_cases() { return cases; }

}  // namespace onceward::testing::contract_detail
