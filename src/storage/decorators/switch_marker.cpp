#include "storage/decorators/switch_marker.hpp"

#include <charconv>
#include <fmt/format.h>

namespace onceward::storage_detail {
namespace {

/// The number after this name in a text that is always written the same way; 0 where there is none.
std::int64_t number_after(std::string_view text, std::string_view name) {
  const auto found = text.find(name);
  if (found == std::string_view::npos) return 0;
  text.remove_prefix(found + name.size());
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::string_view name_of(Marker::State state) noexcept {
  switch (state) {
    case Marker::State::open: return "open";
    case Marker::State::whole: return "whole";
    case Marker::State::frozen: return "frozen";
    case Marker::State::none: break;
  }
  return "none";
}

}  // namespace

std::string marker_text(Marker::State state, std::int64_t generation) {
  return fmt::format(R"({{"generation":{},"state":"{}"}})", generation, name_of(state));
}

Result<Marker> read_marker(const std::optional<Record>& record) {
  if (!record) return Marker{};
  const auto generation = number_after(record->value, "\"generation\":");
  for (const auto state : {Marker::State::open, Marker::State::whole, Marker::State::frozen}) {
    if (generation > 0 && record->value == marker_text(state, generation))
      return Marker{state, generation, record->revision};
  }
  return fail(ErrorCode::corrupt,
              fmt::format("the record \"{}\" of a partition is not what this version writes", marker_key));
}

std::string state_text(const SwitchState& state, std::string_view one, std::string_view two,
                       std::string_view self) {
  return fmt::format(R"({{"generation":{},"origin":"{}","members":["{}","{}"],"self":"{}","founded":{}}})",
                     state.generation, state.origin, one, two, self, state.founded);
}

Result<SwitchState> read_state(std::string_view text, std::string_view one, std::string_view two,
                               std::string_view self) {
  SwitchState state{number_after(text, "\"generation\":"), {}, false};
  for (const auto origin : {one, two}) {
    for (const bool founded : {false, true}) {
      state.origin = origin;
      state.founded = founded;
      if (state.generation > 0 && text == state_text(state, one, two, self)) return state;
    }
  }
  return fail(ErrorCode::invalid_argument,
              fmt::format("storage \"{}\" remembers {}, and was opened beside another one or under another "
                          "name; the members are \"{}\" and \"{}\"",
                          self, text, one, two));
}

}  // namespace onceward::storage_detail
