#include <onceward/expr/json_text.hpp>

#include <algorithm>

namespace onceward {
namespace {

constexpr std::size_t few = 4;  ///< a map that begins to fill makes room for so many

struct ByName {
  bool operator()(const Map::Entry& entry, std::string_view name) const noexcept {
    return entry.first < name;
  }
};

}  // namespace

Map::Map() noexcept = default;
Map::Map(const Map&) = default;
Map::Map(Map&&) noexcept = default;
Map& Map::operator=(const Map&) = default;
Map& Map::operator=(Map&&) noexcept = default;
Map::~Map() = default;

Map::Map(std::initializer_list<Entry> entries) {
  entries_.reserve(entries.size());
  for (const auto& [name, value] : entries) set(name, value);
}

Map Map::from_entries(std::vector<Entry> entries) {
  const auto before = [](const Entry& a, const Entry& b) { return a.first < b.first; };
  std::stable_sort(entries.begin(), entries.end(), before);
  Map map;
  map.entries_.reserve(entries.size());
  for (auto& entry : entries) {
    if (!map.entries_.empty() && map.entries_.back().first == entry.first) {
      map.entries_.back() = std::move(entry);
    } else {
      map.entries_.push_back(std::move(entry));
    }
  }
  return map;
}

void Map::set(std::string name, Value value) {
  const auto place = std::lower_bound(entries_.begin(), entries_.end(), std::string_view(name), ByName());
  if (place != entries_.end() && place->first == name) {
    place->second = std::move(value);
  } else {
    const auto index = place - entries_.begin();
    if (entries_.capacity() == 0) entries_.reserve(few);
    entries_.emplace(entries_.begin() + index, std::move(name), std::move(value));
  }
}

const Value* Map::find(std::string_view name) const noexcept {
  const auto place = std::lower_bound(entries_.begin(), entries_.end(), name, ByName());
  return place != entries_.end() && place->first == name ? &place->second : nullptr;
}

std::size_t Map::size() const noexcept { return entries_.size(); }
bool Map::empty() const noexcept { return entries_.empty(); }
const Map::Entry* Map::begin() const noexcept { return entries_.data(); }
const Map::Entry* Map::end() const noexcept { return entries_.data() + entries_.size(); }
void Map::reserve(std::size_t count) { entries_.reserve(count); }
bool operator==(const Map& a, const Map& b) noexcept { return a.entries_ == b.entries_; }

Value::Value(const Value&) = default;
Value::Value(Value&&) noexcept = default;
Value& Value::operator=(const Value&) = default;
Value& Value::operator=(Value&&) noexcept = default;
Value::~Value() = default;

const Value* Value::find(std::string_view name) const noexcept {
  const auto* members = map();
  return members == nullptr ? nullptr : members->find(name);
}

void Map::append_json(std::string& out) const {
  out += '{';
  for (const auto& [name, value] : entries_) {
    if (out.back() != '{') out += ',';
    json_detail::append_text(out, name);
    out += ':';
    value.append_json(out);
  }
  out += '}';
}

std::string Value::to_json() const {
  std::string text;
  append_json(text);
  return text;
}

void Value::append_json(std::string& out) const {
  switch (kind()) {
    case Kind::null: out += "null"; return;
    case Kind::boolean: out += *boolean() ? "true" : "false"; return;
    case Kind::integer: return json_detail::append_number(out, *integer());
    case Kind::real: return json_detail::append_number(out, *real());
    case Kind::string: return json_detail::append_text(out, *string());
    case Kind::list:
      out += '[';
      for (std::size_t i = 0; i < list()->size(); ++i) {
        if (i > 0) out += ',';
        (*list())[i].append_json(out);
      }
      out += ']';
      return;
    case Kind::map: return map()->append_json(out);
  }
}

std::string_view to_string(Value::Kind kind) noexcept {
  switch (kind) {
    case Value::Kind::null: return "null";
    case Value::Kind::boolean: return "bool";
    case Value::Kind::integer: return "int";
    case Value::Kind::real: return "double";
    case Value::Kind::string: return "string";
    case Value::Kind::list: return "list";
    case Value::Kind::map: return "map";
  }
  return "unknown";
}

std::string_view with_article(Value::Kind kind) noexcept {
  switch (kind) {
    case Value::Kind::null: return "null";
    case Value::Kind::boolean: return "a bool";
    case Value::Kind::integer: return "an int";
    case Value::Kind::real: return "a double";
    case Value::Kind::string: return "a string";
    case Value::Kind::list: return "a list";
    case Value::Kind::map: return "a map";
  }
  return "unknown";
}

}  // namespace onceward
