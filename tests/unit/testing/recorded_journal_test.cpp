#include "support/catch.hpp"

#include <onceward/testing/recorded_journal.hpp>

#include <thread>

using onceward::testing::RecordedJournal;

TEST_CASE("a recorded journal keeps texts that end with the call") {
  RecordedJournal journal;
  {
    std::string subject = "grant:ann";
    std::string reason = "the bank said so";
    journal.write({.room = "guard",
                   .partition = "p",
                   .subject = subject,
                   .trigger = "resolve",
                   .from = "claimed",
                   .to = "done",
                   .actor = "eve",
                   .reason = reason});
    subject = "overwritten", reason = "overwritten";
  }
  CHECK(journal.lines() ==
        std::vector<RecordedJournal::Line>{
            {"guard", "p", "grant:ann", "resolve", "claimed", "done", "eve", "the bank said so"}});
}

TEST_CASE("a recorded journal loses no line of two threads") {
  RecordedJournal journal;
  const auto write = [&] {
    for (int i = 0; i < 500; ++i) journal.write({"guard", "p", "k", "resolve"});
  };
  std::thread other(write);
  write();
  other.join();
  CHECK(journal.lines().size() == 1000);
}
