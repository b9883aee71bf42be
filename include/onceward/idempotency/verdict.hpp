#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace onceward {

/// What became of a guarded call.
enum class Verdict : std::uint8_t {
  executed,            ///< it ran now
  replayed,            ///< it had run before: this is what it gave then
  in_progress,         ///< another caller holds the key; see retry_after()
  key_reused,          ///< the key came before with another payload; nothing ran, nothing is disclosed
  in_doubt,            ///< an earlier attempt may or may not have taken effect; nothing ran
  lease_lost,          ///< it ran, but another caller had taken the key over meanwhile: its record stands
  result_unavailable,  ///< it had run, but its result cannot be read or stored; it is not run again
  storage_down,  ///< nothing ran: the storage could not be asked, or not for such a key; error() says why
  attempts_exhausted,  ///< it was tried as often as the policy allows; nothing ran
};
inline constexpr std::size_t verdicts = static_cast<std::size_t>(Verdict::attempts_exhausted) + 1;
[[nodiscard]] std::string_view to_string(Verdict verdict) noexcept;

}  // namespace onceward
