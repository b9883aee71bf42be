#pragma once
#include <onceward/core/error.hpp>

#include <string_view>

namespace onceward::redis::detail {

/// What an error the server answered with means. The command it answers changed nothing.
Error to_error(std::string_view answer, std::string_view doing);

}  // namespace onceward::redis::detail
