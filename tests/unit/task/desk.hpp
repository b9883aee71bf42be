#pragma once
#include <onceward/task/task_admin.hpp>

#include "support.hpp"

namespace task_test {

/// A kind of task for admins: "pay so often", maybe after another task.
class Payments final : public TaskType {
 public:
  [[nodiscard]] TaskTypeSpec spec() const override {
    return {.name = "payments@1",
            .fields = {{"target", Value::Kind::integer, {}, true, 1, 100'000},
                       {"after", Value::Kind::string, Value("none"), true, 0, 64}}};
  }
  [[nodiscard]] Result<TaskDefinition> make(const Map& fields) const override {
    TaskDefinition task{.id = "x"};
    task.rules.push_back({.event = "paid"});
    task.stages.push_back({*fields.find("target")->integer(), "grant", {{"points", "10"}}});
    if (*fields.find("after")->string() != "none") task.after = {*fields.find("after")->string()};
    return task;
  }
};

/// The same, and it takes over the users of the versions before it.
class Migrating final : public TaskType {
 public:
  [[nodiscard]] TaskTypeSpec spec() const override {
    auto spec = payments_.spec();
    spec.name = "migrating@1";
    return spec;
  }
  [[nodiscard]] Result<TaskDefinition> make(const Map& fields) const override {
    auto task = payments_.make(fields);
    if (task) task->on_update = OnUpdate::migrate;
    return task;
  }

 private:
  Payments payments_;
};

/// A shop with its admin: mia writes and puts online, pat approves.
struct Desk {
  Shop shop;
  TaskTypes types;
  std::unique_ptr<TaskAdmin> admin;
  MerchantSetup setup{"shop", "UTC", shop.campaign("").definition().pipelines};
  const Acting mia{"shop", "mia"};
  const Acting pat{"shop", "pat"};

  Desk() {
    types.add(std::make_unique<Payments>()).value();
    open();
  }
  void open() {
    admin = std::make_unique<TaskAdmin>(shop.storage, *shop.center, shop.registry, types);
    admin->set_up(setup);
  }
  static TaskSheet sheet(const std::string& task, const std::string& version, int target,
                         const char* after = "none") {
    return {task, version, "payments@1", Map{{"target", target}, {"after", after}}};
  }
  void approved(const std::string& task, const std::string& version, int target, const char* after = "none") {
    admin->draft(mia, sheet(task, version, target, after)).value();
    admin->submit(mia, task, version).value();
    admin->approve(pat, task, version).value();
  }
  void online(const std::string& task, const std::string& version, int target, const char* after = "none") {
    approved(task, version, target, after);
    admin->put_online(mia, task, version).value();
  }
  /// "<task>/<version> <state>" of every sheet.
  std::vector<std::string> states() {
    std::vector<std::string> lines;
    const auto sheets = admin->sheets("shop").value();
    for (const auto& sheet : sheets)
      lines.push_back(sheet.task + "/" + sheet.version + " " + std::string(to_string(sheet.state)));
    return lines;
  }
  /// A new process on the same storage.
  void restart() {
    admin.reset();
    shop.restart();
    open();
  }
};

}  // namespace task_test
