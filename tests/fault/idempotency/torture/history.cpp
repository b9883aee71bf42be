#include "history.hpp"

#include <onceward/core/digest.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace torture {
namespace {

constexpr std::array<const char*, 3> kinds = {"fenced", "plain", "enlisted"};
constexpr std::array<const char*, 7> events = {"begin",   "acquired",  "effect", "refused",
                                               "renewed", "finishing", "end"};

std::int64_t clock_ns(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

template <class Enum, class Names>
Enum named(const Names& names, const std::string& word, const std::string& line) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (word == names[i]) return static_cast<Enum>(i);
  }
  throw std::runtime_error("no line of a history, \"" + word + "\" is unknown: " + line);
}

}  // namespace

std::int64_t monotonic_ns() { return clock_ns(CLOCK_MONOTONIC); }
std::int64_t realtime_offset_ns() { return clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC); }

std::string hash_of(std::string_view result) {
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx",
                static_cast<unsigned long long>(onceward::stable_hash(result)));
  return digits.data();
}

std::string format(const Line& line) {
  std::ostringstream out;
  out << line.at << ' ' << line.process << ' ' << line.call << ' '
      << events[static_cast<std::size_t>(line.event)] << ' ' << kinds[static_cast<std::size_t>(line.kind)]
      << ' ' << line.key << ' ' << line.payload << ' ' << line.fence << ' ' << line.attempt << ' '
      << line.word << ' ' << line.result << ' ' << line.recorded << ' ' << line.lease_ms << ' '
      << line.retention_ms << ' ' << line.limit_ms;
  return std::move(out).str();
}

Line parse(const std::string& text) {
  Line line;
  std::string event;
  std::string kind;
  std::istringstream in(text);
  in >> line.at >> line.process >> line.call >> event >> kind >> line.key >> line.payload >> line.fence >>
      line.attempt >> line.word >> line.result >> line.recorded >> line.lease_ms >> line.retention_ms >>
      line.limit_ms;
  if (!in || in.get() != std::istringstream::traits_type::eof()) {
    throw std::runtime_error("no line of a history: " + text);
  }
  line.event = named<Event>(events, event, text);
  line.kind = named<Kind>(kinds, kind, text);
  return line;
}

std::vector<Line> read_history(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("no history in " + file);
  std::vector<Line> lines;
  for (std::string text; std::getline(in, text);) {
    if (in.eof()) break;  // no newline ended it
    lines.push_back(parse(text));
  }
  return lines;
}

Recorder::Recorder(const std::string& file)
    : file_(::open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
  if (file_ < 0) throw std::runtime_error("no history can be written to " + file);
}
Recorder::~Recorder() { ::close(file_); }

void Recorder::write(Line line) {
  if (line.at == 0) line.at = monotonic_ns();
  const auto text = format(line) + "\n";
  if (::write(file_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    std::perror("the history of the torture test");
    std::_Exit(3);  // no call goes on whose history has a gap
  }
}

}  // namespace torture
