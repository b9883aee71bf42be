#pragma once
#include <onceward/core/error.hpp>

#include <string_view>

namespace onceward::redis::detail {

/// What an error the server answered with means. The command it answers changed nothing.
Error to_error(std::string_view answer, std::string_view doing);

/// The answer of a shard whose data are gone, and with them the sense of "not there".
Error gone(std::string_view doing);

/// The same of a script that writes: where the error is none that is known to come before its first write,
/// how far it came is not known (in_doubt).
Error script_error(std::string_view answer, std::string_view doing);

}  // namespace onceward::redis::detail
