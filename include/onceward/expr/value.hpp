#pragma once
#include <onceward/core/limits.hpp>
#include <onceward/core/result.hpp>

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace onceward {

class Value;
using List = std::vector<Value>;

/// Members by name, kept sorted by the bytes of the name: two maps with the same members are equal and print
/// equally, whatever the order they were built in. Lookup is a binary search.
class Map {
 public:
  using Entry = std::pair<std::string, Value>;

  Map() noexcept;
  /// Later entries win over earlier ones of the same name.
  Map(std::initializer_list<Entry> entries);
  /// The same of many entries, in n log n steps; set() one by one would take n * n.
  static Map from_entries(std::vector<Entry> entries);
  Map(const Map&);
  Map(Map&&) noexcept;
  Map& operator=(const Map&);
  Map& operator=(Map&&) noexcept;
  ~Map();

  /// Inserts, or replaces the value of a name that is there.
  void set(std::string name, Value value);
  /// Null where the name is not there; else valid until the map changes.
  [[nodiscard]] const Value* find(std::string_view name) const noexcept;
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] bool empty() const noexcept;
  [[nodiscard]] const Entry* begin() const noexcept;
  [[nodiscard]] const Entry* end() const noexcept;
  void reserve(std::size_t count);
  /// Appends the map as Value::to_json writes it.
  void append_json(std::string& out) const;

  friend bool operator==(const Map&, const Map&) noexcept;

 private:
  std::vector<Entry> entries_;
};

/// A dynamic value: what events carry, steps receive and return, and expressions compute.
/// Integers are 64 bit and stay integers, doubles stay doubles, also through JSON. A plain value type.
class Value {
 public:
  enum class Kind : std::uint8_t { null, boolean, integer, real, string, list, map };

  Value() noexcept = default;
  Value(std::nullptr_t) noexcept {}
  /// A template, so that no pointer turns into a boolean by itself.
  template <class Bool>
  requires std::is_same_v<Bool, bool> Value(Bool value)
  noexcept : data_(value) {}
  Value(std::int64_t value) noexcept : data_(value) {}
  Value(int value) noexcept : data_(std::int64_t{value}) {}
  Value(double value) noexcept : data_(value) {}
  Value(std::string value) noexcept : data_(std::move(value)) {}
  Value(std::string_view value) : data_(std::string(value)) {}
  Value(const char* value) : data_(std::string(value)) {}
  Value(List value) noexcept : data_(std::move(value)) {}
  Value(Map value) noexcept : data_(std::move(value)) {}
  // In the library: a variant's are long, and every file that touches a Value would compile them anew.
  Value(const Value&);
  Value(Value&&) noexcept;
  Value& operator=(const Value&);
  Value& operator=(Value&&) noexcept;
  ~Value();

  [[nodiscard]] Kind kind() const noexcept { return static_cast<Kind>(data_.index()); }
  [[nodiscard]] bool is_null() const noexcept { return data_.index() == 0; }

  /// The content, or null where the kind is another one. Nothing is ever converted.
  [[nodiscard]] const bool* boolean() const noexcept { return std::get_if<bool>(&data_); }
  [[nodiscard]] const std::int64_t* integer() const noexcept { return std::get_if<std::int64_t>(&data_); }
  [[nodiscard]] const double* real() const noexcept { return std::get_if<double>(&data_); }
  [[nodiscard]] const std::string* string() const noexcept { return std::get_if<std::string>(&data_); }
  [[nodiscard]] const List* list() const noexcept { return std::get_if<List>(&data_); }
  [[nodiscard]] const Map* map() const noexcept { return std::get_if<Map>(&data_); }
  [[nodiscard]] Map* map() noexcept { return std::get_if<Map>(&data_); }
  [[nodiscard]] List* list() noexcept { return std::get_if<List>(&data_); }

  /// A member of a map; null where this is no map or has no such member.
  [[nodiscard]] const Value* find(std::string_view name) const noexcept;

  /// Reads one JSON text (RFC 8259, UTF-8 checked, at most limits::json_bytes and limits::json_depth).
  /// A number without fraction and exponent is an integer, any other a double, read exactly.
  /// Errors: syntax with the byte offset; out_of_range for an integer beyond 64 bits signed;
  /// limit_exceeded; invalid_argument for a member named twice.
  static Result<Value> from_json(std::string_view text);
  /// The shortest JSON text that reads back as an equal value: members sorted, no spaces, a double always
  /// with a fraction or an exponent. Doubles must be finite (a non-finite one is written as null).
  [[nodiscard]] std::string to_json() const;
  /// Appends to_json() to `out`.
  void append_json(std::string& out) const;

  /// Same kind and same content. An integer never equals a double here (the language's == compares them).
  friend bool operator==(const Value&, const Value&) noexcept = default;

 private:
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, List, Map> data_;
};

/// "null", "bool", "int", "double", "string", "list" or "map": the word messages use for a kind.
[[nodiscard]] std::string_view to_string(Value::Kind kind) noexcept;
/// The same as a sentence needs it: "an int", "a string", "null".
[[nodiscard]] std::string_view with_article(Value::Kind kind) noexcept;

}  // namespace onceward
