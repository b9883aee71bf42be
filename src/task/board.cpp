#include "task/board.hpp"

#include "task/flat_text.hpp"
#include "task/record_parts.hpp"

#include <algorithm>

namespace onceward::task_detail {
namespace {

constexpr std::size_t usual_bytes = 48;  ///< of an entry
constexpr std::size_t least_bytes = 24;

bool read_entry(Cursor& cursor, BoardEntry& entry) {
  const auto from = cursor.rest();
  std::string_view status;
  const bool read = cursor.skip("\"") && cursor.id(entry.name) && cursor.skip("\":[\"") &&
                    cursor.id(entry.version) && cursor.skip("\",") && cursor.integer(entry.progress) &&
                    cursor.skip(",") && cursor.integer(entry.reached) && cursor.skip(",\"") &&
                    cursor.id(status) && cursor.skip("\"]");
  const auto known = parse_status(status);
  if (!read || !known) return false;
  entry.status = *known;
  entry.text = from.substr(0, from.size() - cursor.rest().size());
  return true;
}

}  // namespace

void BoardEntry::read_into(Instance& fresh) const {
  fresh.version = version;
  fresh.progress = progress;
  fresh.reached = reached;
  fresh.status = status;
}

Result<void> decode_board(const Record& record, std::pmr::vector<BoardEntry>& board) {
  board.reserve(record.value.size() / least_bytes + 1);
  Cursor cursor(record.value);
  bool right = cursor.skip("{");
  if (right && cursor.rest() == "}") return {};
  do {
    right = right && read_entry(cursor, board.emplace_back());
  } while (right && cursor.skip(","));
  if (right && cursor.rest() == "}") return {};
  return corrupt(record);
}

const BoardEntry* find_on(std::span<const BoardEntry> board, std::string_view name) noexcept {
  const auto found =
      std::find_if(board.begin(), board.end(), [&](const BoardEntry& entry) { return entry.name == name; });
  return found == board.end() ? nullptr : &*found;
}

BoardWriter::BoardWriter(std::size_t entries) {
  text_.reserve(2 + entries * usual_bytes);
  text_ += '{';
}

void BoardWriter::keep(const BoardEntry& entry) {
  if (text_.size() > 1) text_ += ',';
  text_ += entry.text;
}

void BoardWriter::add(std::string_view name, const Instance& instance) {
  if (text_.size() > 1) text_ += ',';
  text_.append("\"").append(name).append("\":[\"").append(instance.version).append("\",");
  append_number(text_, instance.progress);
  text_ += ',';
  append_number(text_, instance.reached);
  text_.append(",\"").append(to_string(instance.status)).append("\"]");
}

std::string BoardWriter::finish() {
  text_ += '}';
  return std::move(text_);
}

}  // namespace onceward::task_detail
