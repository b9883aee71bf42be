#include "expr/field.hpp"

namespace onceward::expr_detail {

Value value_at(const Shape& shape, const void* at) {
  if (shape.inside != nullptr) {
    const void* inside = shape.inside(at);
    return inside == nullptr ? Value() : value_at(*shape.content(), inside);
  }
  if (shape.load != nullptr) return shape.load(at);
  if (shape.fields.empty()) {
    Operand plain;
    if (load_plain(shape.layout, at, plain)) return plain.to_value();
    return to_value(copy_of<std::uint64_t>(at));  // all others are plain
  }
  Map map;
  map.reserve(shape.fields.size());
  for (const auto& field : shape.fields)
    map.set(std::string(field.name), value_at(*field.shape(), static_cast<const char*>(at) + field.offset()));
  return Value(std::move(map));
}

}  // namespace onceward::expr_detail
