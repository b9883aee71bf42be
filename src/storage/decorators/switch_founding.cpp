#include "storage/decorators/switch_founding.hpp"

#include "storage/decorators/members.hpp"

namespace onceward::storage_detail {
namespace {

constexpr int most_rounds = 16;

struct Stored {
  std::optional<SwitchState> state;
  Revision revision = absent;
};

Result<Stored> load(const std::vector<StorageMember>& members, Side side) {
  const auto record = read_one(*members[side].storage, switch_partition, state_key);
  if (!record) return fail(of_member(members[side].name, record.error()));
  if (!*record) return Stored{};
  auto state = read_state((*record)->value, members[0].name, members[1].name, members[side].name);
  if (!state) return fail(std::move(state).error());
  return Stored{*std::move(state), (*record)->revision};
}

/// Writes over what was loaded; who came first is met by the next look.
Result<void> store(const std::vector<StorageMember>& members, Side side, const Stored& over,
                   const SwitchState& state) {
  const std::string key(state_key);
  auto text = state_text(state, members[0].name, members[1].name, members[side].name);
  const auto answer = commit_one(*members[side].storage,
                                 {std::string(switch_partition),
                                  {over.state ? Operation::replace(key, over.revision, std::move(text))
                                              : Operation::insert(key, std::move(text))}});
  if (!answer) return fail(of_member(members[side].name, answer.error()));
  return {};
}

Error changes_all_the_time() {
  return {ErrorCode::conflict, "the state of the switchable storage changes all the time; try again"};
}

}  // namespace

Result<std::optional<SwitchState>> stored_state(const std::vector<StorageMember>& members, Side side) {
  auto stored = load(members, side);
  if (!stored) return fail(std::move(stored).error());
  return std::move(stored->state);
}

Result<SwitchState> found_switch(const std::vector<StorageMember>& members, const std::string& first) {
  // First member 0 remembers, unfounded; then member 1; then member 0 that the pair is founded. What one
  // process leaves half done the next one ends.
  for (int round = 0; round < most_rounds; ++round) {
    const auto one = load(members, 0);
    if (!one) return fail(one.error());
    const auto two = load(members, 1);
    if (!two) return fail(two.error());
    if (one->state && two->state && one->state->founded) {
      if (one->state->origin != two->state->origin) {
        return fail(ErrorCode::corrupt,
                    fmt::format("storages \"{}\" and \"{}\" disagree on the first primary", members[0].name,
                                members[1].name));
      }
      SwitchState state = *one->state;
      state.generation = std::max(state.generation, two->state->generation);
      return state;
    }
    const bool lost = one->state ? one->state->founded && !two->state : two->state.has_value();
    if (lost) {
      return fail(ErrorCode::corrupt,
                  fmt::format("storage \"{}\" is empty, but \"{}\" knows it: restore it, or see that its "
                              "address is right",
                              members[one->state ? 1 : 0].name, members[one->state ? 0 : 1].name));
    }
    Result<void> written;
    if (!one->state) {
      written = store(members, 0, *one, {1, first, false});
    } else if (!two->state) {
      written = store(members, 1, *two, {1, one->state->origin, true});
    } else {
      written = store(members, 0, *one, {one->state->generation, one->state->origin, true});
    }
    if (!written) return fail(std::move(written).error());
  }
  return fail(changes_all_the_time());
}

Result<void> raise_generation(const std::vector<StorageMember>& members, const SwitchState& state) {
  for (const Side side : {Side{0}, Side{1}}) {
    for (int round = 0;; ++round) {
      if (round == most_rounds) return fail(changes_all_the_time());
      const auto stored = load(members, side);
      if (!stored) return fail(stored.error());
      if (!stored->state) {
        return fail(ErrorCode::corrupt,
                    fmt::format("storage \"{}\" lost its state; restore it", members[side].name));
      }
      if (stored->state->generation >= state.generation) break;
      if (auto written = store(members, side, *stored, {state.generation, state.origin, true}); !written)
        return written;
    }
  }
  return {};
}

}  // namespace onceward::storage_detail
