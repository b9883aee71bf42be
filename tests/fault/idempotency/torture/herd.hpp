#pragma once
#include "checker.hpp"
#include "plan.hpp"
#include "worker.hpp"

#include "support/child_process.hpp"

#include <array>
#include <optional>

namespace torture {

/// The worker processes: starts them, kills them, stops them, starts them again. One thread, which must live
/// as long as they do: they die with it.
class Herd {
 public:
  Herd(const Place& place, unsigned seed);

  /// Carries out a fault of a worker.
  void strike(const Fault& fault);
  /// Lets go on whose stop is over, and looks whether any died by itself. To be called all the time.
  void tend();
  /// Lets every worker finish its call and end.
  void end();

  [[nodiscard]] int kills() const noexcept { return static_cast<int>(killed_.size()); }
  [[nodiscard]] int stops() const noexcept { return stops_made_; }
  [[nodiscard]] std::set<std::string> killed() const { return killed_; }
  [[nodiscard]] std::map<std::string, std::vector<Stop>> stopped() const { return stops_; }
  [[nodiscard]] std::vector<std::string> deaths() const { return deaths_; }
  /// Every process that ever ran.
  [[nodiscard]] std::vector<std::string> names() const { return names_; }

 private:
  struct Worker {
    std::optional<ChildProcess> process;
    std::string name;
    int life = 0;
    std::int64_t stopped_at = 0;  ///< 0: it runs
    std::int64_t resume_at = 0;
    std::int64_t last_resumed = 0;
  };
  void start(std::size_t number);
  void resume(Worker& worker);

  Place place_;
  unsigned seed_;
  std::array<Worker, workers> workers_;
  std::set<std::string> killed_;
  std::map<std::string, std::vector<Stop>> stops_;
  std::vector<std::string> deaths_, names_;
  int stops_made_ = 0;
};

[[nodiscard]] const char* to_string(Broken broken);

}  // namespace torture
