// A task centre on an enlisted storage: what is reported there stands or falls with the caller's transaction.
#include "../../unit/task/support.hpp"

#include <onceward/storage/sqlite.hpp>

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <SQLiteCpp/SQLiteCpp.h>

using namespace task_test;

TEST_CASE("a reward is issued after the caller's COMMIT, and not at all after his ROLLBACK") {
  const TemporaryFolder folder;
  const auto path = folder.file("shop.db");
  auto storage = sqlite::open(path).value();
  SQLite::Database database(path, SQLite::OPEN_READWRITE);
  auto enlisted = sqlite::enlist(database).value();
  Shop shop;
  const auto campaign =
      shop.campaign("<task id='t'><on event='paid'/>" + stage(1, 10) +
                    "<quota limit='5'/></task><task id='u'><on event='paid'/>" + stage(1, 20) + "</task>");
  PlanCatalog catalog;
  Runner runner(*storage, catalog);
  TaskCenter center(*storage, catalog, runner);
  center.publish(campaign).value();
  Runner inside(*enlisted, catalog);
  TaskCenter stores(*enlisted, catalog, inside, {.store_only = true});
  {
    SQLite::Transaction transaction(database);
    stores.publish(campaign).value();
    transaction.commit();
  }
  const auto event = shop.event();
  {
    SQLite::Transaction transaction(database);
    CHECK(stores.report(event).value().grants.size() == 2);
  }
  center.work().value();
  CHECK(shop.granted->calls() == 0);
  CHECK_FALSE(center.instance("shop", "ann", "t", "-").value().has_value());
  {
    SQLite::Transaction transaction(database);
    CHECK_FALSE(stores.report(event).value().duplicate);
    CHECK(shop.granted->calls() == 0);
    transaction.commit();
  }
  CHECK(shop.granted->calls() == 0);
  while (center.work().value().taken > 0) continue;
  CHECK(shop.granted->list() == std::vector<std::string>{"ann/t/-/1=10", "ann/u/-/1=20"});
  CHECK(center.report(event).value().duplicate);
  CHECK(shop.granted->calls() == 2);
}
