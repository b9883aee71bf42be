#include <onceward/core/timestamp.hpp>

#include <cstdint>

namespace onceward {
namespace {

/// Takes fixed numbers of digits and single characters off the front; remembers whether all were there.
class Cursor {
 public:
  explicit Cursor(std::string_view text) noexcept : text_(text) {}

  int digits(std::size_t count) noexcept {
    int value = 0;
    for (std::size_t i = 0; i < count; ++i) {
      if (!at_digit()) {
        good_ = false;
        return 0;
      }
      value = value * 10 + (text_.front() - '0');
      text_.remove_prefix(1);
    }
    return value;
  }
  bool take(char wanted) noexcept {
    if (text_.empty() || text_.front() != wanted) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char wanted) noexcept {
    if (!take(wanted)) good_ = false;
  }
  void fail() noexcept { good_ = false; }
  [[nodiscard]] bool at_digit() const noexcept {
    return !text_.empty() && text_.front() >= '0' && text_.front() <= '9';
  }
  [[nodiscard]] bool finished() const noexcept { return good_ && text_.empty(); }

 private:
  std::string_view text_;
  bool good_ = true;
};

std::int64_t fraction_us(Cursor& cursor) noexcept {
  constexpr int kept = 6;
  constexpr int most = 9;
  std::int64_t value = 0;
  int count = 0;
  while (cursor.at_digit()) {
    const int digit = cursor.digits(1);
    if (count < kept) value = value * 10 + digit;
    if (++count > most) cursor.fail();
  }
  if (count == 0) cursor.fail();
  for (; count < kept; ++count) value *= 10;
  return value;
}

std::chrono::minutes offset(Cursor& cursor) noexcept {
  if (cursor.take('Z') || cursor.take('z')) return {};
  const bool west = cursor.take('-');
  if (!west) cursor.expect('+');
  const int hours = cursor.digits(2);
  cursor.expect(':');
  const int minutes = cursor.digits(2);
  if (hours > 23 || minutes > 59) cursor.fail();
  const std::chrono::minutes total(hours * 60 + minutes);
  return west ? -total : total;
}

}  // namespace

std::optional<Timestamp> parse_timestamp(std::string_view text) noexcept {
  namespace chrono = std::chrono;
  Cursor cursor(text);
  const int year = cursor.digits(4);
  cursor.expect('-');
  const int month = cursor.digits(2);
  cursor.expect('-');
  const int day = cursor.digits(2);
  if (!cursor.take('t')) cursor.expect('T');
  const int hour = cursor.digits(2);
  cursor.expect(':');
  const int minute = cursor.digits(2);
  cursor.expect(':');
  const int second = cursor.digits(2);
  const std::int64_t microseconds = cursor.take('.') ? fraction_us(cursor) : 0;
  const auto east = offset(cursor);
  const chrono::year_month_day date(chrono::year(year), chrono::month(static_cast<unsigned>(month)),
                                    chrono::day(static_cast<unsigned>(day)));
  if (!cursor.finished() || !date.ok() || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  return Timestamp(chrono::sys_days(date).time_since_epoch() + chrono::hours(hour) + chrono::minutes(minute) +
                   chrono::seconds(second) - east + chrono::microseconds(microseconds));
}

}  // namespace onceward
