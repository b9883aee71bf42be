// The fragments of docs/task-centre.md.
#include <onceward/core/timestamp.hpp>
#include <onceward/storage/memory.hpp>
#include <onceward/task/task_center.hpp>
#include <onceward/testing/ledger.hpp>

namespace {

class GrantPoints : public onceward::Step {
 public:
  explicit GrantPoints(onceward::testing::Ledger& points) : points_(points) {}
  [[nodiscard]] onceward::StepSpec spec() const override {
    return {.name = "grant-points@1", .arguments = {{"user", onceward::Value::Kind::string}}};
  }
  onceward::StepOutcome run(onceward::StepContext& step) override {
    points_.credit(step.token(), step.arg<std::string>("user"), 5).value();
    return onceward::Done{};
  }

 private:
  onceward::testing::Ledger& points_;
};

constexpr std::string_view text =
    "<campaign merchant='gifts-uk'><task id='spring' claim='manual' count-from='cycle'>"
    "<on event='order.paid' add='event.amount_pence'/><stage target='10000' pipeline='grant'/></task>"
    "<pipeline id='grant'><input><param name='user'/></input><step id='p' use='grant-points@1'>"
    "<arg name='user' value='user'/></step></pipeline></campaign>";

int tell(const onceward::Reply&) { return 1; }
void show(const onceward::GrantReceipt&) {}

}  // namespace

int main() {
  const auto storage = onceward::open_memory().value();
  onceward::testing::Ledger points;
  const auto now = onceward::parse_timestamp("2024-03-10T12:00:00Z").value();
#include "task_center.inc"
  const auto view = center.instance("gifts-uk", "ann", "spring", "-").value().value();
  return view.progress == 9000 && points.balance("ann") == 5 ? 0 : 1;
}
