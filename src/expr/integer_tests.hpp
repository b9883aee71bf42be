#pragma once
#include "expr/field_place.hpp"

#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// Conditions such as `amount >= 100 && level in {2, 3}`: nothing but tests of integers. They are most of what
// is evaluated, and need neither a stack nor kinds.
namespace onceward::expr_detail {

class Program;
class Names;

/// A name's place in the map where it was found last: the next map probably has the same members.
class PlaceHint {
 public:
  PlaceHint() noexcept = default;
  PlaceHint(const PlaceHint& other) noexcept : place_(other.get()) {}
  PlaceHint& operator=(const PlaceHint& other) noexcept {
    set(other.get());
    return *this;
  }
  [[nodiscard]] std::uint32_t get() const noexcept { return place_.load(std::memory_order_relaxed); }
  void set(std::uint32_t place) const noexcept { place_.store(place, std::memory_order_relaxed); }

 private:
  mutable std::atomic<std::uint32_t> place_{0};
};

/// Whether an integer lies in a range, or is one of a few; and what is to be tested next.
struct IntegerTest {
  /// A member of the names, by the texts of the program; empty in a bound program, which has `field`.
  struct Step {
    std::uint16_t text;
    PlaceHint hint{};
  };
  static constexpr std::uint16_t ends_false = 0xfffe;
  static constexpr std::uint16_t ends_true = 0xffff;

  std::int64_t least = 0;
  std::uint64_t span = 0;  ///< the greatest less the least
  FieldPlace field{};
  std::uint16_t if_out = ends_false;  ///< the test that comes next, or the end
  std::uint16_t if_in = ends_true;
  std::vector<std::int64_t> among{};  ///< within the range only these, where not all of it
  std::vector<Step> path{};
};

using IntegerTests = std::vector<IntegerTest>;

/// The same program as tests; none where it is anything more.
std::optional<IntegerTests> make_integer_tests(const Program& program);

/// The result; none where a value is missing or is no integer of 63 bits: the program itself then says why,
/// or computes with what there is.
std::optional<bool> run(const IntegerTests& tests, const Program& program, const Names& names) noexcept;

}  // namespace onceward::expr_detail
