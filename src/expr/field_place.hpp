#pragma once
#include <onceward/expr/shape.hpp>

#include <cstdint>

namespace onceward::expr_detail {

/// Where a bound program finds a value: in this argument, this many bytes behind its beginning.
struct FieldPlace {
  std::uint32_t argument = 0;
  std::uint32_t offset = 0;
  Layout layout = Layout::other;
  const Shape* shape = nullptr;
};

}  // namespace onceward::expr_detail
