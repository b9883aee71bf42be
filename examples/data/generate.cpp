// Writes made-up orders as CSV, the same ones for the same options on every machine: the repository's sample
// data and the input of the scaling benchmark.
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string_view>

namespace {

struct Options {
  std::uint64_t events = 3000;
  std::uint64_t users = 0;  ///< 0: a tenth of the events
  std::uint64_t seed = 7;
};

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): small, and equal everywhere, which std's distributions are
/// not.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t bound) { return next() % bound; }

 private:
  std::uint64_t state_;
};

constexpr const char* countries[] = {"United Kingdom", "United Kingdom", "United Kingdom", "United Kingdom",
                                     "Germany",        "France",         "EIRE",           "Norway"};

void write_order(std::uint64_t number, const Options& options, Random& random) {
  // Some users order much more often than others: the smaller of two draws.
  const auto a = random.below(options.users);
  const auto b = random.below(options.users);
  const auto user = a < b ? a : b;
  const bool refund = random.below(100) < 15;
  const auto lines = 1 + random.below(25);
  const auto items = lines * (1 + random.below(20));
  const auto pence =
      (refund ? 200 : 500) + random.below(refund ? 6'000 : 60'000) + (random.below(50) == 0 ? 120'000 : 0);
  using namespace std::chrono;
  constexpr std::uint64_t seconds_of_year = 365ULL * 86'400;
  const auto since = seconds(number * seconds_of_year / options.events);
  const auto at = sys_days(year(2023) / 1 / 1) + since;
  const auto day = floor<days>(at);
  const year_month_day date(day);
  const hh_mm_ss time(at - day);
  std::printf("%s%llu,%s,%llu,%s,%04d-%02u-%02uT%02d:%02d:%02dZ,%llu,%llu,%llu\n", refund ? "C" : "",
              static_cast<unsigned long long>(100'000 + number), refund ? "order.refunded" : "order.paid",
              static_cast<unsigned long long>(10'000 + user), countries[user % std::size(countries)],
              static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
              static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
              static_cast<int>(time.minutes().count()), static_cast<int>(time.seconds().count()),
              static_cast<unsigned long long>(pence), static_cast<unsigned long long>(items),
              static_cast<unsigned long long>(lines));
}

bool read_number(std::string_view text, std::uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (name == "--help") {
      std::puts(
          "generate_orders [--events N] [--users N] [--seed S] > orders.csv\n"
          "Writes N made-up orders of one year, by time. Users: a tenth of the events by default.");
      return EXIT_SUCCESS;
    }
    std::uint64_t* target = name == "--events"  ? &options.events
                            : name == "--users" ? &options.users
                            : name == "--seed"  ? &options.seed
                                                : nullptr;
    if (target == nullptr || i + 1 == argc || !read_number(argv[i + 1], *target)) {
      std::fprintf(stderr, "generate_orders: %s needs a known name and a whole number; see --help\n",
                   argv[i]);
      return 2;
    }
  }
  if (options.events == 0) options.events = 1;
  if (options.users == 0) options.users = options.events / 10 + 1;
  Random random(options.seed);
  std::puts("invoice,type,customer,country,at,amount_pence,items,lines");
  for (std::uint64_t i = 0; i < options.events; ++i) write_order(i, options, random);
  return std::fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
