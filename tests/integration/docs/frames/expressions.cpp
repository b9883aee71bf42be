// The fragments of docs/expressions.md.
#include <onceward/expr/bind.hpp>
#include <onceward/expr/functions.hpp>
#include <onceward/idempotency/idempotent.hpp>
#include <onceward/storage/memory.hpp>

#include "listed_fields.inc"

int main() {
  const auto memory = onceward::open_memory().value();
  onceward::Storage& storage = *memory;
  const onceward::Policy policy;
  const auto handler = [](const auto& request) { return request.user + 1; };
#include "key_of_a_struct.inc"
#include "key_of_several_arguments.inc"
  using onceward::Map;
  const onceward::Value names = Map{{"event", Map{{"amount_pence", 1000}, {"country", "SE"}}},
                                    {"user", Map{{"id", 42}}},
                                    {"task", Map{{"id", "t-9"}}},
                                    {"stage", 1}};
  const bool bound = [] {
#include "bound_to_a_struct.inc"
    return counts && key == "pay:7:Ann" && by_place.render(Order{7, 2500, 2}, Customer{"Ann"}).value() == key;
  }();
  const bool listed = onceward::to_value(Account(5)).to_json() == "{\"pence\":5}";
#include "expression_first.inc"
#include "own_functions.inc"
  return bound && listed && is_gold && counts && text == "reward:42:t-9:1" &&
                 grant({"gifts-uk", 42}).value() == 43 && bill_once({7, 250}, "Ann").value() == 250 &&
                 same_bill({7, 250}, "Ann").verdict() == onceward::Verdict::replayed
             ? 0
             : 1;
}
