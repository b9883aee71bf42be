#pragma once
#include "unit/task/support.hpp"

#include <onceward/storage/open.hpp>

#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

// A random driver of a task centre, and a reference model of a few maps that knows nothing of storages,
// versions, batches or crashes.
namespace task_model {

using namespace task_test;

inline const std::string tasks =
    "<task id='sum' period='month'><on event='paid' add='event.n'/>" + stage(20, 2) + stage(50, 5) +
    "</task>" +
    "<task id='claw' on-refund='clawback'><on event='paid'/>"
    "<stage target='3' pipeline='grant' take-back='take'><arg name='points' value='10'/></stage></task>" +
    "<task id='kinds'><on event='paid' distinct='event.n'/>" + stage(4, 4) + "</task>" +
    "<task id='shop' claim='manual' collect='manual'><on event='paid'/>" + stage(2, 7) + "</task>" +
    "<task id='few'><on event='paid' when='event.n &gt;= 8'/>" + stage(1, 1) + "<quota limit='3'/></task>" +
    "<task id='fetch' claim='manual'><on event='paid'/>" + stage(2, 9) +
    "<quota limit='2' at='claim'/></task>";

struct Operation {
  enum class Kind { report, repeat, reverse, claim, collect, abandon, jump, publish } kind = Kind::report;
  int user = 0;
  int n = 0;
  int which = 0;      ///< of the events so far
  int crash_at = -1;  ///< the commit at which the process dies; -1: it lives
  bool lost = false;  ///< the commit is carried out and its answer lost
  bool busy = false;  ///< the next reward call fails
};

inline std::vector<Operation> operations_of(unsigned seed, std::size_t count) {
  std::mt19937 random(seed);
  std::vector<Operation> operations;
  for (std::size_t i = 0; i < count; ++i) {
    Operation operation;
    constexpr int weights[] = {40, 10, 20, 8, 8, 2, 6, 2};
    int pick = static_cast<int>(random() % 96);
    int kind = 0;
    while (pick >= weights[kind]) pick -= weights[kind++];
    operation.kind = static_cast<Operation::Kind>(kind);
    operation.user = static_cast<int>(random() % 5);
    operation.n = static_cast<int>(random() % 10);
    operation.which = static_cast<int>(random() % 1000);
    if (random() % 6 == 0) operation.crash_at = static_cast<int>(random() % 4);
    operation.lost = random() % 2 == 0;
    operation.busy = random() % 12 == 0;
    operations.push_back(operation);
  }
  return operations;
}

/// What should be, told as plainly as it can be.
class Model {
 public:
  struct Mine {
    int status = 0;  ///< of "shop": 0 not taken, 1 taken, 2 given up
    bool earned = false;
    bool collected = false;
    int count = 0;
  };
  struct Known {
    int user;
    int n;
    std::string cycle;
    int taken = 0;
    bool gone = false;
    bool came = false;
    std::set<std::string> counted{};  ///< tasks it counted for
  };
  std::map<std::string, Known> events;  ///< by user and id: an event is its user's
  std::map<std::string, std::int64_t> sums;
  std::map<int, std::int64_t> counts;
  std::map<int, std::map<int, int>> kinds;
  std::map<int, Mine> shop;
  std::map<int, int> fetch;  ///< claimed: events counted since; absent: not taken
  std::map<std::string, int> effects;
  std::set<int> few;

  void apply(const std::string& id, Known event) {
    auto& known = events[id];
    if (known.came) return;
    event.taken = known.taken;
    event.gone = known.gone;
    event.came = true;
    known = event;
    if (known.gone) return;
    const auto u = known.user;
    const auto left = std::max(0, known.n - known.taken);
    auto& sum = sums[name(u) + known.cycle];
    sum += left;
    if (sum >= 20) effects.insert({name(u) + "/sum/" + known.cycle + "/1", 2});
    if (sum >= 50) effects.insert({name(u) + "/sum/" + known.cycle + "/2", 5});
    if (++counts[u] == 3) balance[u] += 10;
    ++kinds[u][known.n];
    if (distinct(u) >= 4) effects.insert({name(u) + "/kinds/-/1", 4});
    if (known.n >= 8) few.insert(u);
    auto& mine = shop[u];
    if (mine.status == 1) {
      known.counted.insert("shop");
      if (++mine.count >= 2) mine.earned = true;
    }
    if (fetch.contains(u)) {
      known.counted.insert("fetch");
      if (++fetch[u] == 2) effects.insert({name(u) + "/fetch/-/1", 9});
    }
  }
  void reverse(const std::string& id, int amount) {
    auto& known = events[id];
    const auto before = std::max(0, known.n - known.taken);
    const bool gone_before = known.gone;
    if (amount > 0) {
      known.taken += amount;
    } else {
      known.gone = true;
    }
    if (!known.came || gone_before) return;
    const auto u = known.user;
    sums[name(u) + known.cycle] -= before - (known.gone ? 0 : std::max(0, known.n - known.taken));
    if (!known.gone) return;
    if (counts[u]-- == 3) balance[u] -= 10;
    if (--kinds[u][known.n] == 0) kinds[u].erase(known.n);
    if (known.counted.contains("shop") && --shop[u].count < 2 && !shop[u].collected && shop[u].status == 1)
      shop[u].earned = false;
    if (known.counted.contains("fetch")) --fetch[u];
  }
  std::map<int, int> balance;  ///< of "claw"
  [[nodiscard]] std::int64_t distinct(int u) { return static_cast<std::int64_t>(kinds[u].size()); }
  static std::string name(int user) { return "u" + std::to_string(user); }
};

/// Runs operations on a storage; gives what is wrong in the end, or nothing.
class Driver {
 public:
  /// `clock` is the storage's, where it has one that can be moved; else null.
  explicit Driver(std::unique_ptr<Storage> storage, std::unique_ptr<testing::FakeClock> clock)
      : clock_(std::move(clock)), storage_(std::move(storage)) {}

  std::string run(const std::vector<Operation>& operations);

 private:
  using Call = testing::FaultyStorage::Call;
  using Fault = testing::FaultyStorage::Fault;

  void restart();
  template <class Act>
  void once(const Operation& operation, const Act& act);
  void one(std::size_t number, const Operation& operation);
  void settle();
  std::string compare();
  void jump(Duration by) {
    now_ += by;
    if (clock_ != nullptr) clock_->set(now_);
  }

  std::unique_ptr<testing::FakeClock> clock_;
  std::unique_ptr<Storage> storage_;
  testing::FaultyStorage faulty_{*storage_};
  Timestamp now_ = at("2024-03-10T12:00:00Z");
  Shop office_;  ///< of it the registry and the downstream are used
  std::unique_ptr<Runner> runner_;
  std::unique_ptr<TaskCenter> center_;
  Model model_;
  std::vector<Event> history_;
  std::string wrong_;
};

inline void Driver::restart() {
  center_.reset();
  const auto lease =
      clock_ != nullptr ? Duration(std::chrono::seconds(30)) : Duration(std::chrono::milliseconds(1));
  runner_ = std::make_unique<Runner>(faulty_, office_.catalog, RunnerOptions{.lease = lease});
  center_ =
      std::make_unique<TaskCenter>(faulty_, office_.catalog, *runner_, TaskCenterOptions{.lease = lease});
  center_->publish(office_.campaign(tasks)).value();
}

/// Acts; where the process died meanwhile it is started anew and acts again, as whoever got no answer does.
template <class Act>
void Driver::once(const Operation& operation, const Act& act) {
  if (operation.busy) office_.granted->fail_calls = 1;
  if (operation.crash_at >= 0) {
    faulty_.fail_calls(Call::commit, operation.lost ? Fault::after : Fault::before, ErrorCode::corrupt, 1,
                       static_cast<std::size_t>(operation.crash_at));
    faulty_.fail_calls(Call::commit, Fault::before, ErrorCode::corrupt, 1'000'000, 0);
  }
  (void)act();
  faulty_.heal();
  if (operation.crash_at < 0) return;
  restart();
  // What the dead one left is done first where others met it meanwhile: a claim's unit may have to lapse.
  settle();
  (void)act();
}

inline void Driver::settle() {
  for (int quiet = 0; quiet < 2;) {
    jump(std::chrono::minutes(2));
    const auto report = center_->work();
    if (!report) {
      wrong_ = describe(report.error());
      return;
    }
    quiet = report->taken > 0 ? 0 : quiet + 1;
    if (!report->next_in) continue;
    // A clock of the storage's own is waited for: what it says is due is due then, not before.
    if (clock_ == nullptr) std::this_thread::sleep_for(*report->next_in + std::chrono::milliseconds(1));
    if (clock_ != nullptr) jump(*report->next_in);
    quiet = 0;
  }
}

inline void Driver::one(std::size_t number, const Operation& operation) {
  const auto user = Model::name(operation.user);
  const auto key = "k" + std::to_string(number);
  using Kind = Operation::Kind;
  switch (operation.kind) {
    case Kind::report: {
      Event event{"shop", "e" + std::to_string(number), user, "paid", now_, Map{{"n", operation.n}}};
      const auto cycle = cycle_of(Period::month, Zone::find("UTC").value(), event.at);
      once(operation, [&] { return center_->report(event); });
      model_.apply(user + "/" + event.id, {operation.user, operation.n, cycle});
      history_.push_back(event);
      return;
    }
    case Kind::repeat: {
      if (history_.empty()) return;
      const auto& event = history_[static_cast<std::size_t>(operation.which) % history_.size()];
      const auto answer = center_->report(event);
      if (!answer || !answer->duplicate) wrong_ = "an event sent again was not known: " + event.id;
      return;
    }
    case Kind::reverse: {
      Event event{"shop", "r" + std::to_string(number), user, "refunded", now_};
      if (operation.n == 9 || history_.empty()) {
        // It comes before its event: of this user, some operations from here.
        event.reverses = "e" + std::to_string(number + 1 + static_cast<std::size_t>(operation.which) % 9);
      } else {
        const auto& of = history_[static_cast<std::size_t>(operation.which) % history_.size()];
        if (!of.reverses.empty()) return;
        event.user = of.user;
        event.reverses = of.id;
      }
      if (operation.n % 2 == 0 && operation.n > 0) event.amount = operation.n;
      once(operation, [&] { return center_->report(event); });
      model_.reverse(event.user + "/" + event.reverses, static_cast<int>(event.amount.value_or(0)));
      history_.push_back(event);
      return;
    }
    case Kind::claim: {
      for (const auto* task : {"shop", "fetch"}) {
        Request request{"shop", user, task, key + task};
        request.at = now_;
        once(operation, [&] { return center_->claim(request); });
        // The reply of the last try tells what holds: a unit may be gone.
        const auto reply = center_->claim(request);
        if (!reply) wrong_ = describe(reply.error());
        const bool has = reply && reply->outcome == Reply::Outcome::done;
        if (std::string_view(task) == "shop") {
          if (has && model_.shop[operation.user].status == 0) model_.shop[operation.user].status = 1;
        } else if (has) {
          model_.fetch.insert({operation.user, 0});
        }
      }
      return;
    }
    case Kind::collect: {
      const Request request{"shop", user, "shop", key};
      once(operation, [&] { return center_->collect(request); });
      auto& mine = model_.shop[operation.user];
      if (mine.earned && !mine.collected && mine.status == 1) {
        mine.collected = true;
        model_.effects.insert({user + "/shop/-/1", 7});
      }
      return;
    }
    case Kind::abandon: {
      const Request request{"shop", user, "shop", key};
      once(operation, [&] { return center_->abandon(request); });
      auto& mine = model_.shop[operation.user];
      if (mine.status == 1 && !mine.collected) mine.status = 2;
      return;
    }
    case Kind::jump: jump(std::chrono::hours(operation.which)); return;
    case Kind::publish: restart(); return;
  }
}

inline std::string Driver::run(const std::vector<Operation>& operations) {
  restart();
  for (std::size_t i = 0; i < operations.size() && wrong_.empty(); ++i) one(i, operations[i]);
  if (wrong_.empty()) settle();
  return wrong_.empty() ? compare() : wrong_;
}

inline std::string Driver::compare() {
  std::multiset<std::string> given;
  std::map<std::string, int> claw;
  std::set<std::string> few;
  for (const auto& line : office_.granted->list()) {
    const auto equals = line.find('=');
    const auto user = line.substr(0, line.find('/'));
    if (line.find("/claw/") != std::string::npos) {
      claw[user] += std::stoi(line.substr(equals + 1));
    } else if (line.find("/few/") != std::string::npos) {
      if (!few.insert(user).second) return "a second reward of few: " + line;
    } else {
      given.insert(line);
    }
  }
  std::multiset<std::string> wanted;
  for (const auto& [grant, amount] : model_.effects) wanted.insert(grant + "=" + std::to_string(amount));
  for (const auto& line : wanted) {
    if (given.count(line) != 1)
      return "wanted once, there " + std::to_string(given.count(line)) + " times: " + line;
  }
  if (given.size() != wanted.size()) return "more was given than is due";
  if (few.size() != std::min<std::size_t>(3, model_.few.size())) return "few has another number of rewards";
  if (model_.fetch.size() > 2) return "more units were claimed than there are";
  const auto progress = [&](int user, std::string_view task, const std::string& cycle) {
    const auto view = center_->instance("shop", Model::name(user), task, cycle).value();
    return view ? view->progress : 0;
  };
  for (int user = 0; user < 5; ++user) {
    const auto name = Model::name(user);
    const auto of = "; user " + name;
    if (claw[name] != model_.balance[user])
      return "claw gave " + std::to_string(claw[name]) + ", due is " + std::to_string(model_.balance[user]) +
             of;
    if (progress(user, "claw", "-") != model_.counts[user]) return "the progress of claw differs" + of;
    if (progress(user, "kinds", "-") != model_.distinct(user)) return "the progress of kinds differs" + of;
    const auto& mine = model_.shop[user];
    const auto shop = center_->instance("shop", name, "shop", "-").value();
    if (shop.has_value() != (mine.status != 0)) return "shop is taken, or not" + of;
    if (mine.status == 2 && shop->status != Status::terminated) return "shop was given up" + of;
    if (mine.status == 1 && shop->progress != mine.count) return "the progress of shop differs" + of;
    if (!storage_->scan("shop/user/" + name, "todo/", "", 10).value().records.empty())
      return "a todo is left" + of;
  }
  for (const auto& [where, sum] : model_.sums) {
    const auto user = where[1] - '0';
    if (progress(user, "sum", where.substr(2)) != sum) return "the progress of sum differs in " + where;
  }
  const auto count = read_one(*storage_, "shop/quota/few", "count/-").value();
  if ((count ? count->value : "0") != std::to_string(few.size())) return "few counts another number of units";
  const auto claims = read_one(*storage_, "shop/quota/fetch", "count/-").value();
  if ((claims ? claims->value : "0") != std::to_string(model_.fetch.size()))
    return "fetch counts another number of units";
  return {};
}

using MakeDriver = std::function<std::unique_ptr<Driver>()>;

inline std::string failure_of(const MakeDriver& make, const std::vector<Operation>& operations) {
  try {
    return make()->run(operations);
  } catch (const std::exception& thrown) {
    return std::string("threw ") + thrown.what();
  }
}

/// Leaves out whatever the failure does not need.
inline std::vector<Operation> shrink(const MakeDriver& make, std::vector<Operation> operations) {
  for (std::size_t size = operations.size() / 2; size > 0; size /= 2) {
    for (std::size_t first = 0; first < operations.size();) {
      auto fewer = operations;
      const auto last = std::min(first + size, fewer.size());
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(first),
                  fewer.begin() + static_cast<std::ptrdiff_t>(last));
      if (failure_of(make, fewer).empty()) {
        first += size;
      } else {
        operations = std::move(fewer);
      }
    }
  }
  return operations;
}

inline std::string describe(const std::vector<Operation>& operations) {
  std::string text;
  for (const auto& o : operations) {
    text += "{kind " + std::to_string(static_cast<int>(o.kind)) + ", user " + std::to_string(o.user) +
            ", n " + std::to_string(o.n) + ", which " + std::to_string(o.which) + ", crash_at " +
            std::to_string(o.crash_at) + (o.lost ? ", lost" : "") + (o.busy ? ", busy" : "") + "}\n";
  }
  return text;
}

/// Of one seed; empty where all is well, else what is wrong and the fewest operations that show it.
inline std::string check_seed(const MakeDriver& make, unsigned seed, std::size_t count) {
  const auto operations = operations_of(seed, count);
  const auto wrong = failure_of(make, operations);
  if (wrong.empty()) return {};
  const auto fewest = shrink(make, operations);
  return "seed " + std::to_string(seed) + ": " + wrong + "\nfewest operations: " + failure_of(make, fewest) +
         "\n" + describe(fewest);
}

inline MakeDriver on_memory() {
  return [] {
    auto clock = std::make_unique<testing::FakeClock>(at("2024-03-10T12:00:00Z"));
    auto storage = open_memory({.clock = clock.get()}).value();
    return std::make_unique<Driver>(std::move(storage), std::move(clock));
  };
}

}  // namespace task_model
