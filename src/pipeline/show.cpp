#include "pipeline/show.hpp"

#include "pipeline/storable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace onceward::pipeline_detail {

std::string_view to_string(Status status) noexcept {
  switch (status) {
    case Status::fresh: return "not begun";
    case Status::active: return "called";
    case Status::waiting: return "waits";
    case Status::awaiting: return "awaits a signal";
    case Status::open: return "goes on";
    case Status::done: return "done";
    case Status::skipped: return "skipped";
    case Status::failed: return "failed";
    case Status::cancelled: return "cancelled";
    case Status::undoing: return "undo called";
    case Status::undo_waiting: return "undo waits";
    case Status::undone: return "undone";
  }
  return "unknown";
}

std::string one_line(std::string_view text, std::size_t most) {
  std::string line;
  for (const char c : text.substr(0, most)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      line += fmt::format("\\x{:02X}", byte);
    else
      line += c;
  }
  const bool cut = text.size() > most || line.size() > most;
  line = readable(std::move(line), most);
  return cut ? line + "..." : line;
}

std::string duration_shown(Duration duration) {
  const auto us = duration.count();
  if (us < 0) return "-" + duration_shown(-duration);
  if (us < 1'000) return fmt::format("{}us", us);
  if (us < 1'000'000) return fmt::format("{}ms", us / 1'000);
  const auto seconds = us / 1'000'000;
  if (seconds < 60) return fmt::format("{}.{:03}s", seconds, us / 1'000 % 1'000);
  if (seconds < 3'600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  if (seconds < 86'400) return fmt::format("{}h{:02}m", seconds / 3'600, seconds / 60 % 60);
  return fmt::format("{}d{:02}h", seconds / 86'400, seconds / 3'600 % 24);
}

std::string time_shown(Timestamp time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const auto us = (time - day).count();
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     us / 3'600'000'000, us / 60'000'000 % 60, us / 1'000'000 % 60, us / 1'000 % 1'000);
}

std::string place_shown(const Place& place) {
  std::string text(to_string(place.status));
  if (place.status == Status::failed && place.value.map() != nullptr) {
    for (const auto* member : {"code", "message"}) {
      const auto* said = place.value.find(member);
      if (said != nullptr && said->string() != nullptr && !said->string()->empty())
        text += ": " + *said->string();
    }
  }
  if (!ended(place.status) && place.attempt > 1) text += fmt::format(", attempt {}", place.attempt);
  if (place.in_doubt && place.status != Status::undone) text += ", in doubt";
  return text;
}

TextTable::TextTable(std::vector<std::string> head) { rows_.push_back(std::move(head)); }

void TextTable::add(std::vector<std::string> cells) {
  for (auto& cell : cells) cell = one_line(cell);
  rows_.push_back(std::move(cells));
}

std::string TextTable::text() const {
  // Columns are characters: the bytes that continue one do not count.
  const auto width = [](const std::string& cell) {
    return static_cast<std::size_t>(std::count_if(
        cell.begin(), cell.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
  };
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - width(row[i]) + 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace onceward::pipeline_detail
