// The table of moves, over every status, trigger and fact.
#include <onceward/task/status.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <set>
#include <string>

using namespace onceward;

namespace {

std::vector<MoveFacts> every_fact() {
  std::vector<MoveFacts> all;
  for (int bits = 0; bits < 16; ++bits)
    all.push_back({(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0});
  return all;
}

template <class Visit>
void each_case(const Visit& visit) {
  for (std::size_t s = 0; s < statuses; ++s) {
    for (std::size_t t = 0; t < triggers; ++t) {
      for (const auto& facts : every_fact()) visit(static_cast<Status>(s), static_cast<Trigger>(t), facts);
    }
  }
}

bool holds(MoveGuard guard, const MoveFacts& f) {
  switch (guard) {
    case MoveGuard::always: return true;
    case MoveGuard::unfinished: return !f.all_reached;
    case MoveGuard::uncollected: return f.all_reached && f.waits;
    case MoveGuard::finished: return f.all_reached && !f.waits;
    case MoveGuard::replayable: return f.all_reached && !f.waits && (f.replayable || f.forced);
    case MoveGuard::forced: return f.forced && !f.all_reached;
    case MoveGuard::forced_waiting: return f.forced && f.all_reached && f.waits;
  }
  return false;
}

}  // namespace

TEST_CASE("of every pair of status and trigger at most one move fits, and it is the table's") {
  each_case([](Status from, Trigger trigger, const MoveFacts& facts) {
    std::vector<const StatusMove*> fitting;
    for (const auto& move : moves()) {
      if (move.from == from && move.trigger == trigger && holds(move.guard, facts)) fitting.push_back(&move);
    }
    CHECK(fitting.size() <= 1);
    CHECK(find_move(from, trigger, facts) == (fitting.empty() ? nullptr : fitting.front()));
  });
}

TEST_CASE(
    "what is terminated or expired moves by nothing but a replay, and by force where it says so [task-51]") {
  each_case([](Status from, Trigger trigger, const MoveFacts& facts) {
    if (from != Status::terminated && from != Status::expired) return;
    const auto* move = find_move(from, trigger, facts);
    if (move == nullptr || move->to == from) return;
    CHECK(trigger == Trigger::replay);
    CHECK((facts.forced || facts.replayable));
    if (from == Status::expired) CHECK(facts.forced);
  });
}

TEST_CASE("a reward is under way only where every stage is reached, and rewarded only from there") {
  each_case([](Status from, Trigger trigger, const MoveFacts& facts) {
    const auto* move = find_move(from, trigger, facts);
    if (move == nullptr) return;
    if (move->to == Status::rewarding) CHECK((facts.all_reached && !facts.waits));
    if (move->to == Status::rewarded) CHECK((from == Status::rewarding || from == Status::rewarded));
    if (move->to == Status::not_taken) CHECK(from == Status::not_taken);
    if (move->to == Status::completed) CHECK(facts.waits);
    if (move->to == Status::claimed && from != Status::claimed) CHECK(trigger == Trigger::claim);
  });
}

TEST_CASE("every status is reached, and every status but none can be left or is an end") {
  std::set<Status> reached{Status::not_taken};
  for (std::size_t round = 0; round < statuses; ++round) {
    for (const auto& move : moves()) {
      if (reached.contains(move.from)) reached.insert(move.to);
    }
  }
  CHECK(reached.size() == statuses);
}

TEST_CASE("names of statuses are read back, and the graph has every move") {
  for (std::size_t s = 0; s < statuses; ++s) {
    const auto status = static_cast<Status>(s);
    CHECK(parse_status(to_string(status)) == status);
  }
  CHECK_FALSE(parse_status("nonsense").has_value());
  const auto dot = moves_to_dot();
  CHECK(static_cast<std::size_t>(std::count(dot.begin(), dot.end(), '>')) == moves().size());
  CHECK(dot.find("completed -> rewarding [label=\"collect [finished]\"]") != std::string::npos);
}
