#pragma once
#include <string>

namespace onceward {

/// A fresh name for one claimant (a process, a guard, a worker): 32 hexadecimal digits of the system's
/// random source. It says who holds a claim; it is never part of a key or a token.
/// Throws std::runtime_error only where the system has no random source.
[[nodiscard]] std::string new_owner_id();
/// The same in the place of what is in `out`, whose room is used.
void new_owner_id(std::string& out);

}  // namespace onceward
