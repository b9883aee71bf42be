#include "fault/task/model_driver.hpp"

namespace task_model {
namespace {

using testing::FaultyStorage;
using Kind = Operation::Kind;
using Fault = Operation::Fault;

constexpr int users = model_users;
std::string name_of(int user) { return "u" + std::to_string(user); }

/// The downstream: effects by token, and how it answers for each user. It forgets no token, however long
/// nobody worked.
class Downstream final : public Step {
 public:
  [[nodiscard]] StepSpec spec() const override {
    return {.name = "grant-points@1",
            .arguments = {{"user", Value::Kind::string}, {"amount", Value::Kind::integer}},
            .dedup_window = std::chrono::hours(24 * 3650)};
  }
  StepOutcome run(StepContext& step) override {
    const auto found = doors.find(step.arg<std::string>("user"));
    if (found != doors.end() && found->second == Door::closed)
      return Reject{"refused", "the account is closed"};
    if (found != doors.end() && found->second == Door::busy) return Retry{"busy"};
    effects[std::string(step.token())] = {std::string(step.run_key()), step.arg<int>("amount")};
    if (std::exchange(reply_lost, false)) return Retry{"the reply was lost"};
    return Done{};
  }
  std::map<std::string, Door> doors;
  std::map<std::string, std::pair<std::string, int>> effects;  ///< by token
  bool reply_lost = false;
};

struct Office {
  StepRegistry registry;
  Downstream* downstream = nullptr;
  std::vector<Campaign> campaigns;

  explicit Office(const std::vector<Task>& tasks) {
    auto step = std::make_unique<Downstream>();
    downstream = step.get();
    registry.add(std::move(step)).value();
    for (int version = 0; version < versions; ++version) {
      const auto definition = parse_campaign_xml(campaign_of(tasks, version), "model.xml").value();
      campaigns.push_back(Campaign::compile(definition, registry).value());
    }
  }
};

struct Wrong : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[noreturn]] void wrong(const std::string& text) { throw Wrong(text); }

std::string text_of(const std::multiset<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += (text.empty() ? "" : ", ") + line;
  return "{" + text + "}";
}

class Driver {
 public:
  Driver(const OpenStorage& open, unsigned seed, std::string* trace)
      : trace_(trace),
        random_(seed),
        tight_(random_() % 2 == 0),
        model_(random_tasks(random_, tight_)),
        office_(model_.tasks()),
        storage_(open(clock_)) {
    restart();
  }
  void run(const std::vector<Operation>& operations) {
    for (const auto& operation : operations) {
      now_ = begin_ + grid * (operation.id + 1) + jumped_;
      clock_.set(now_);
      try {
        one(operation);
      } catch (const Wrong& found) {
        wrong("operation " + std::to_string(operation.id) + ": " + found.what());
      }
    }
    check();
    // Once every account is open and every operator has done his work, nothing is left undecided.
    for (int user = 0; user < users; ++user) {
      office_.downstream->doors.clear();
      model_.set_door(name_of(user), Door::open);
      model_.replay(name_of(user), false);
      center_->replay({"shop", name_of(user)}).value();
    }
    check();
    feed_again();
    check();
    check_leftovers();
  }

 private:
  struct Heard {
    int operation;
    Event event;
    Receipt receipt;
  };
  static constexpr Duration lease = 1s;

  void restart() {
    center_.reset();
    runner_.reset();
    catalog_ = std::make_unique<PlanCatalog>();
    runner_ = std::make_unique<Runner>(faulty_, *catalog_, RunnerOptions{.lease = lease});
    center_ = std::make_unique<TaskCenter>(faulty_, *catalog_, *runner_, TaskCenterOptions{.lease = lease});
    center_->publish(office_.campaigns[static_cast<std::size_t>(version_)]).value();
  }
  void pass(Duration by) {
    clock_.advance(by);
    if (clock_.now() < now_ + off_grid) return;
    std::string text = "what is due never ends:";
    clock_.advance(1min);
    const auto page = storage_->due({}, 10).value();
    for (const auto& [partition, record] : page.entries) text += " " + partition + " " + record.key;
    wrong(text);
  }
  void settle();
  template <class Act>
  auto once(const Operation& operation, const Act& act) -> decltype(act());
  void arm(const Operation& operation);
  void one(const Operation& operation);
  void report(const Operation& operation);
  void batch(const Operation& operation);
  void async(const Operation& operation);
  void repeat(const Operation& operation);
  void reverse(const Operation& operation);
  void ask(const Operation& operation);
  void explain(const Request& request, const Task& task, bool open);
  void check_list(int user);
  void replay(const Operation& operation);
  [[nodiscard]] Event event_of(const Operation& operation, int number, int user) const;
  /// What an operation some way before this one sent; null where it sent no event.
  const Heard* before(const Operation& operation) const;
  void compare(const Operation& operation, const Event& event, const Result<Receipt>& answer,
               const Model::Said& said);
  void check();
  void check_instance(const Model::Where& where, const Model::Instance& expected);
  void check_grants(const Task& task, const Model::Instance& expected, const InstanceView& view);
  void check_ledger();
  void check_units();
  void check_leftovers();
  void feed_again();
  Model::Where where_of(const Operation& operation);

  std::string* trace_;
  std::mt19937 random_;
  bool tight_;  ///< quotas run out: whoever dies is cleaned up after at once, so that turns are kept
  Model model_;
  Office office_;
  const Timestamp begin_ = at("2024-03-10T12:00:00Z");
  Duration jumped_{};
  Timestamp now_ = begin_;
  testing::FakeClock clock_{now_};
  std::unique_ptr<Storage> storage_;
  FaultyStorage faulty_{*storage_};
  std::unique_ptr<PlanCatalog> catalog_;
  std::unique_ptr<Runner> runner_;
  std::unique_ptr<TaskCenter> center_;
  int version_ = 0;
  std::vector<Heard> history_;
  std::map<int, std::string> completions_;  ///< operation -> user
};

/// Has work() do all there is to do, also what a dead process left. What nobody can decide (whether a reward
/// that has to be taken back was given: its only call was cut off) is looked at again and again, and stays.
void Driver::settle() {
  model_.work(now_);
  for (int quiet = 0; quiet < 7;) {
    const auto report = center_->work();
    if (!report) wrong("work: " + describe(report.error()));
    quiet = report->taken > 0 ? 0 : quiet + 1;
    if (!report->next_in || *report->next_in > 1min) {
      if (report->taken == 0) return;
      continue;
    }
    pass(*report->next_in + 1ms);
  }
}

void Driver::arm(const Operation& operation) {
  using Call = FaultyStorage::Call;
  const auto skip = static_cast<std::size_t>(operation.at_commit);
  const auto side = operation.fault == Fault::dies_after || operation.fault == Fault::lost_after
                        ? FaultyStorage::Fault::after
                        : FaultyStorage::Fault::before;
  switch (operation.fault) {
    case Fault::none: return;
    case Fault::dies_before:
    case Fault::dies_after:
      faulty_.fail_calls(Call::commit, side, ErrorCode::corrupt, 1, skip);
      faulty_.fail_calls(Call::commit, FaultyStorage::Fault::before, ErrorCode::corrupt, 1'000'000, 0);
      return;
    case Fault::unavailable:
      faulty_.fail_calls(operation.which % 2 == 0 ? Call::read : Call::commit, side, ErrorCode::unavailable,
                         1, skip);
      return;
    default: faulty_.fail_calls(Call::commit, side, ErrorCode::in_doubt, 1, skip);
  }
}

/// Acts; who got no answer acts again, on a new process where the old one died.
template <class Act>
auto Driver::once(const Operation& operation, const Act& act) -> decltype(act()) {
  const bool dies = operation.fault == Fault::dies_before || operation.fault == Fault::dies_after;
  office_.downstream->reply_lost = operation.reply_lost;
  arm(operation);
  auto answer = act();
  faulty_.heal();
  office_.downstream->reply_lost = false;
  if (dies) restart();
  if (operation.fault != Fault::none && tight_) settle();
  if (dies) answer = act();
  for (int tries = 0; !answer && tries < 5 && retry_advice(answer.error().code) != RetryAdvice::give_up;
       ++tries) {
    pass(lease * 2);
    answer = act();
  }
  return answer;
}

Event Driver::event_of(const Operation& operation, int number, int user) const {
  const auto which = static_cast<unsigned>(operation.which) + static_cast<unsigned>(number) * 7U;
  const auto n = 1 + (operation.n + number * 3) % 9;
  Event event{"shop",
              "e" + std::to_string(operation.id) + (number == 0 ? "" : "-" + std::to_string(number)),
              name_of(user),
              which % 6 == 0 ? "back" : "paid",
              now_,
              {{"n", n},
               {"inviter", name_of(static_cast<int>(which / 6 % users))},
               {"group", "g" + std::to_string(which / 24 % 2)}}};
  if (which % 5 < 2) event.at -= 1h * static_cast<int>(which / 5 % 100);
  return event;
}

const Driver::Heard* Driver::before(const Operation& operation) const {
  // Mostly of what is not long ago.
  const auto reach = operation.n < 7 ? 12 : std::max(operation.id, 1);
  const auto wanted = operation.id - 1 - operation.which % reach;
  const auto found = std::find_if(history_.begin(), history_.end(),
                                  [&](const Heard& heard) { return heard.operation == wanted; });
  return found == history_.end() ? nullptr : &*found;
}

void Driver::compare(const Operation& operation, const Event& event, const Result<Receipt>& answer,
                     const Model::Said& said) {
  if (!answer) wrong("event " + event.id + ": " + describe(answer.error()));
  std::multiset<std::string> contributions;
  std::multiset<std::string> skipped;
  for (const auto& made : answer->contributions)
    contributions.insert(made.task + " " + made.cycle + " " + made.amount.to_json());
  for (const auto& task : answer->skipped) skipped.insert(task.task + " " + task.reason);
  if (contributions != said.contributions)
    wrong("event " + event.id + " contributed " + text_of(contributions) + ", due is " +
          text_of(said.contributions));
  if (skipped != said.skipped)
    wrong("event " + event.id + " skipped " + text_of(skipped) + ", due is " + text_of(said.skipped));
  if (trace_ != nullptr) {
    const auto hours = std::chrono::duration_cast<std::chrono::hours>(event.at - begin_).count();
    *trace_ +=
        "  " + event.id + " " + event.type + " of " + event.user + " at " + std::to_string(hours) + " h";
    if (!event.reverses.empty()) *trace_ += " reverses " + event.reverses;
    if (event.amount) *trace_ += " by " + std::to_string(*event.amount);
    *trace_ += ": " + text_of(contributions) + " " + text_of(skipped);
    for (const auto& grant : answer->grants)
      *trace_ += " " + grant.task + "/" + grant.cycle + "/" + std::to_string(grant.stage) +
                 (grant.taken_back     ? " falls"
                  : grant.out_of_stock ? " out of stock"
                                       : "");
    *trace_ += "\n";
  }
  history_.push_back({operation.id, event, *answer});
}

void Driver::report(const Operation& operation) {
  const auto event = event_of(operation, 0, operation.user);
  const auto said = model_.report(event, now_);
  if (operation.n == 0) {  // asked first, it says the same and writes nothing
    const auto commits = faulty_.calls(FaultyStorage::Call::commit);
    const auto answer = center_->simulate({&event, 1}, clock_.now()).front();
    compare(operation, event, answer, said);
    history_.pop_back();
    if (faulty_.calls(FaultyStorage::Call::commit) != commits) wrong("simulate wrote");
  }
  compare(operation, event, once(operation, [&] { return center_->report(event); }), said);
}

void Driver::batch(const Operation& operation) {
  std::vector<Event> events;
  std::vector<Model::Said> said;
  for (int i = 0; i < 2 + operation.n % 5; ++i) {
    // Where turns count, one user's alone: those of several users have no order.
    events.push_back(event_of(operation, i, tight_ ? operation.user : (operation.user + i) % users));
    if (tight_) events.back().type = "paid";
    said.push_back(model_.report(events.back(), now_));
  }
  // Where turns count, those that work() does later have lost theirs.
  auto calm = operation;
  if (tight_) calm.fault = Fault::none;
  const auto answers = once(calm, [&]() -> Result<std::vector<Receipt>> {
    auto all = center_->report_many(events);
    std::vector<Receipt> receipts;
    for (auto& answer : all) {
      if (!answer) return fail(std::move(answer).error());
      receipts.push_back(*std::move(answer));
    }
    return receipts;
  });
  if (!answers) wrong("report_many: " + describe(answers.error()));
  for (std::size_t i = 0; i < events.size(); ++i) compare(operation, events[i], (*answers)[i], said[i]);
}

void Driver::async(const Operation& operation) {
  settle();
  const auto event = event_of(operation, 0, operation.user);
  const auto said = model_.report(event, now_);
  const auto ticket = once(operation, [&] { return center_->report_async(event); });
  if (!ticket) wrong("report_async: " + describe(ticket.error()));
  settle();
  const auto receipt = center_->receipt(*ticket);
  if (!receipt || !*receipt) wrong("the stored event " + event.id + " was not applied");
  compare(operation, event, **receipt, said);
}

void Driver::repeat(const Operation& operation) {
  const auto* heard = before(operation);
  if (heard == nullptr) return;
  const auto& [number, event, first] = *heard;
  auto sent = event;
  if (operation.kind == Kind::conflict) {
    sent.attributes.set("n", 77);
    const auto answer = once(operation, [&] { return center_->report(sent); });
    if (answer || answer.error().code != ErrorCode::conflict)
      wrong("another content was no conflict: " + event.id);
    return;
  }
  const auto answer = once(operation, [&] { return center_->report(sent); });
  if (!answer || !answer->duplicate) wrong("an event sent again was not known: " + event.id);
  const bool same = answer->contributions == first.contributions && answer->skipped == first.skipped &&
                    std::equal(answer->grants.begin(), answer->grants.end(), first.grants.begin(),
                               first.grants.end(), [](const GrantReceipt& a, const GrantReceipt& b) {
                                 return a.task == b.task && a.cycle == b.cycle && a.stage == b.stage &&
                                        a.generation == b.generation;
                               });
  if (!same) wrong("an event sent again has another receipt: " + event.id);
}

void Driver::reverse(const Operation& operation) {
  Event event{"shop", "r" + std::to_string(operation.id), name_of(operation.user), "refunded", now_};
  event.reverses = "e" + std::to_string(operation.id + 1 + operation.which % 6);  // it comes first
  bool refused = false;
  if (operation.n == 2)
    event.reverses = "complete:k" + std::to_string(operation.id + 1 + operation.which % 6);
  if (operation.n == 1) {
    const auto done = completions_.lower_bound(operation.which % (operation.id + 1));
    if (done == completions_.end()) return;
    event.user = done->second;
    event.reverses = "complete:k" + std::to_string(done->first);
  } else if (operation.n > 2) {
    const auto* of = before(operation);
    if (of == nullptr) return;
    event.user = of->event.user;
    event.reverses = of->event.id;
    refused = !of->event.reverses.empty();
  }
  if (operation.which % 3 == 0) event.amount = 1 + operation.n / 2;
  if (refused) {
    const auto answer = once(operation, [&] { return center_->report(event); });
    if (answer || answer.error().code != ErrorCode::wrong_state)
      wrong("a reversal was reversed: " + event.reverses);
    return;
  }
  const auto said = model_.report(event, now_);
  compare(operation, event, once(operation, [&] { return center_->report(event); }), said);
}

Model::Where Driver::where_of(const Operation& operation) {
  std::vector<Model::Where> mine;
  for (const auto& [where, instance] : model_.instances()) {
    if (where.owner == name_of(operation.user) && where.task == operation.task) mine.push_back(where);
  }
  if (mine.empty())
    return {name_of(operation.user), operation.task,
            model_.cycle_of(name_of(operation.user), operation.task, now_)};
  return mine[static_cast<std::size_t>(operation.which) % mine.size()];
}

/// A request, and its reply.
void Driver::ask(const Operation& operation) {
  const auto& task = model_.tasks()[static_cast<std::size_t>(operation.task)];
  if (task.members > 0) return;
  settle();
  const auto user = name_of(operation.user);
  Request request{"shop", user, task.id, "k" + std::to_string(operation.id)};
  request.at = now_;
  Model::Said said;
  std::function<Result<Reply>()> act;
  if (operation.kind == Kind::claim) {
    said = model_.claim(user, operation.task, now_);
    explain(request, task, said.outcome == Reply::Outcome::done);
    act = [&] { return center_->claim(request); };
  } else if (operation.kind == Kind::complete) {
    said = model_.complete(user, operation.task, now_, "complete:" + request.key);
    if (said.outcome == Reply::Outcome::done) completions_.emplace(operation.id, user);
    act = [&] { return center_->complete(request); };
  } else {
    const auto where = where_of(operation);
    request.cycle = where.cycle;
    if (operation.kind == Kind::collect) {
      request.stage = operation.n % 3;
      said = model_.collect(where, static_cast<int>(request.stage), now_);
      act = [&] { return center_->collect(request); };
    } else if (operation.kind == Kind::abandon) {
      said = model_.end(where, Trigger::abandon, {});
      act = [&] { return center_->abandon(request); };
    } else {
      request.actor = "op";
      request.reason = "risk";
      said = model_.end(where, Trigger::withdraw, "risk");
      act = [&] { return center_->withdraw(request); };
    }
  }
  const auto reply = once(operation, act);
  if (!reply) wrong("a request: " + describe(reply.error()));
  if (trace_ != nullptr)
    *trace_ += "  " + request.key + " of " + user + " for " + task.id + " " + reply->cycle + ": " +
               std::string(to_string(reply->outcome)) + "\n";
  if (reply->outcome != said.outcome)
    wrong("a request was answered " + std::string(to_string(reply->outcome)) + ", due is " +
          std::string(to_string(said.outcome)));
}

/// What keeps a user from a task is told exactly where it does.
void Driver::explain(const Request& request, const Task& task, bool open) {
  auto told = center_->explain(request);
  if (!told) wrong("explain: " + describe(told.error()));
  // A unit that is taken later may be back by then.
  if (task.unit != Unit::claim)
    std::erase_if(told->causes, [](const Cause& cause) { return cause.code == "out_of_stock"; });
  if (told->causes.empty() != open) wrong("explain tells " + std::to_string(told->causes.size()) + " causes");
}

void Driver::replay(const Operation& operation) {
  settle();
  ReplayRequest request{"shop", name_of(operation.user)};
  if (operation.kind == Kind::force) {
    request.force = true;
    request.actor = "op";
    request.reason = "goodwill";
  }
  model_.replay(request.user, request.force);
  const auto report = once(operation, [&] { return center_->replay(request); });
  if (!report) wrong("replay: " + describe(report.error()));
  settle();
}

void Driver::one(const Operation& operation) {
  // No timer falls into what is repeated: done before or after it, it would be told apart.
  if (operation.fault != Fault::none && tight_) settle();
  switch (operation.kind) {
    case Kind::report: report(operation); return;
    case Kind::batch: batch(operation); return;
    case Kind::async: async(operation); return;
    case Kind::repeat:
    case Kind::conflict: repeat(operation); return;
    case Kind::reverse: reverse(operation); return;
    case Kind::claim:
    case Kind::complete:
    case Kind::collect:
    case Kind::abandon:
    case Kind::withdraw: ask(operation); return;
    case Kind::replay:
    case Kind::force: replay(operation); return;
    case Kind::publish:
      version_ = operation.n % versions;
      model_.publish(version_);
      center_->publish(office_.campaigns[static_cast<std::size_t>(version_)]).value();
      return;
    case Kind::door: {
      settle();
      const auto door = static_cast<Door>(operation.n < 6 ? 0 : operation.n < 8 ? 1 : 2);
      office_.downstream->doors[name_of(operation.user)] = door;
      model_.set_door(name_of(operation.user), door);
      return;
    }
    case Kind::jump: jumped_ += 1h * (1 + operation.which % 40); return;
    case Kind::work: {
      // Dies in the middle of what is due; the next one does the rest.
      model_.work(now_);
      arm(operation);
      (void)center_->work(1 + static_cast<std::size_t>(operation.n));
      faulty_.heal();
      if (operation.fault == Fault::dies_before || operation.fault == Fault::dies_after) restart();
      settle();
      return;
    }
    case Kind::check: check(); return;
  }
}

void Driver::check() {
  settle();
  for (const auto& [where, instance] : model_.instances()) check_instance(where, instance);
  for (int user = 0; user < users; ++user) check_list(user);
  check_ledger();
  check_units();
}

/// A page of tasks shows what each of them says by itself, and none the model knows nothing of.
void Driver::check_list(int user) {
  const auto page = center_->list({.merchant = "shop", .user = name_of(user), .at = now_});
  if (!page) wrong("list: " + describe(page.error()));
  for (const auto& entry : page->entries) {
    if (entry.cycle.empty()) continue;
    const auto view = center_->instance("shop", name_of(user), entry.task, entry.cycle);
    if (!view || *view != entry.view) wrong("list shows " + entry.task + " otherwise; " + name_of(user));
    const auto number = entry.task[1] - '0';  // "t0"
    const auto due = model_.instances().find({name_of(user), number, entry.cycle});
    const bool taken = due != model_.instances().end() && due->second.status != Status::not_taken;
    if (entry.view.has_value() != taken) wrong("list shows " + entry.task + ", or not; " + name_of(user));
  }
}

void Driver::check_instance(const Model::Where& where, const Model::Instance& expected) {
  const auto& task = model_.tasks()[static_cast<std::size_t>(where.task)];
  const auto view = task.members > 0 ? center_->group_instance("shop", where.owner, task.id, where.cycle)
                                     : center_->instance("shop", where.owner, task.id, where.cycle);
  const auto of = "; " + where.owner + " " + task.id + " " + where.cycle;
  if (!view) wrong(describe(view.error()) + of);
  if (view->has_value() != (expected.status != Status::not_taken)) wrong("it is taken, or not" + of);
  if (!*view) return;
  const auto& seen = **view;
  const auto differs = [&](const std::string& what, const std::string& found, const std::string& due) {
    if (found != due) wrong(what + " is " + found + ", due is " + due + of);
  };
  const auto time = [](const std::optional<Timestamp>& when) {
    return when ? std::to_string(when->time_since_epoch().count()) : "none";
  };
  differs("progress", std::to_string(seen.progress), std::to_string(model_.progress(where)));
  differs("reached", std::to_string(seen.reached), std::to_string(expected.reached));
  differs("version", seen.version, std::to_string(expected.version + 1));
  differs("deadline", time(seen.deadline), time(expected.deadline));
  differs("a collect window", seen.collect_until ? "there" : "none",
          expected.collect_until ? "there" : "none");
  if (task.members > 0) {
    differs("members", std::to_string(seen.members.size()), std::to_string(expected.members.size()));
    return;
  }
  const auto [status, reason] = model_.status(expected);
  differs("status", std::string(to_string(seen.status)), std::string(to_string(status)));
  if (status != Status::failed) differs("reason", seen.reason, reason);
  try {
    check_grants(task, expected, seen);
  } catch (const Wrong& found) {
    wrong(found.what() + of);
  }
}

void Driver::check_grants(const Task& task, const Model::Instance& expected, const InstanceView& view) {
  using State = Model::Grant::State;
  if (view.grants.size() != expected.grants.size())
    wrong("grants of " + task.id + ": " + std::to_string(view.grants.size()) + ", due are " +
          std::to_string(expected.grants.size()));
  for (const auto& seen : view.grants) {
    const auto found = expected.grants.find(static_cast<int>(seen.stage));
    if (found == expected.grants.end()) wrong("a grant nobody earned: stage " + std::to_string(seen.stage));
    const auto& grant = found->second;
    const auto given = [](Run run) {
      return run == Run::given     ? RunState::succeeded
             : run == Run::refused ? RunState::failed
                                   : RunState::needs_attention;
    };
    constexpr std::array names = {"earned", "granted", "out_of_stock", "voided", "revoked"};
    // What was taken back before it was given was never issued.
    const bool never = grant.state == State::revoked && seen.state == "voided" && !grant.owed;
    const auto place = "stage " + std::to_string(seen.stage);
    if (!never && seen.state != names[static_cast<std::size_t>(grant.state)])
      wrong(place + " is " + std::string(seen.state) + ", due is " +
            names[static_cast<std::size_t>(grant.state)]);
    if (seen.generation != grant.generation)
      wrong(place + " has generation " + std::to_string(seen.generation) + ", due is " +
            std::to_string(grant.generation));
    if (grant.state == State::issued && seen.run != given(grant.run))
      wrong("the run of " + place + " differs");
    if (grant.state == State::revoked && seen.owed != grant.owed)
      wrong("what is owed of " + place + " differs");
  }
}

void Driver::check_ledger() {
  std::map<std::string, int> net;
  std::set<std::string> seen;
  for (const auto& [token, effect] : office_.downstream->effects) {
    const auto grant = parse_run_key(effect.first).value();
    const auto line = grant.user + "/" + grant.task + "/" + grant.cycle + "/" + std::to_string(grant.stage) +
                      "/" + std::to_string(grant.generation);
    if (!seen.insert(line + (effect.second < 0 ? "-" : "+")).second) wrong("given twice: " + line);
    net[line] += effect.second;
  }
  for (const auto& [line, amount] : model_.ledger()) {
    if (net[line] != amount)
      wrong(line + " has " + std::to_string(net[line]) + ", due is " + std::to_string(amount));
    net.erase(line);
  }
  for (const auto& [line, amount] : net) {
    if (amount != 0) wrong("nobody earned " + line + " = " + std::to_string(amount));
  }
}

void Driver::check_units() {
  for (const auto& [where, used] : model_.units()) {
    const auto& task = model_.tasks()[static_cast<std::size_t>(where.first)];
    const auto count = read_one(*storage_, "shop/quota/" + task.id, "count/" + where.second).value();
    const auto seen = count ? count->value : "0";
    if (seen != std::to_string(used))
      wrong(task.id + " counts " + seen + " units of " + where.second + ", due are " + std::to_string(used));
    if (used > task.units) wrong("the model oversold");
  }
}

/// Nothing is left to do.
void Driver::check_leftovers() {
  for (const auto* owner : {"user/u0", "user/u1", "user/u2", "user/u3", "group/g0", "group/g1"}) {
    const auto todos = storage_->scan("shop/" + std::string(owner), "todo/", "", 10).value().records;
    if (!todos.empty()) wrong("left to do: " + todos.front().key + " of " + owner);
  }
}

/// The whole log again: nothing changes.
void Driver::feed_again() {
  std::vector<Event> events;
  for (const auto& heard : history_) events.push_back(heard.event);
  for (const auto& answer : center_->report_many(events)) {
    if (!answer || !answer->duplicate) wrong("an event of the whole log was not known");
  }
}

}  // namespace

void drive(const OpenStorage& open, unsigned seed, const std::vector<Operation>& operations,
           std::string* trace) {
  Driver(open, seed, trace).run(operations);
}

}  // namespace task_model
