#include "options.hpp"
#include "support/catch.hpp"

#include <vector>

using loyalty::parse_options;

namespace {

const std::vector<const char*> whole = {"--campaign", "c.xml",      "--events", "e.csv",    "--storage",
                                        "memory:",    "--business", ":memory:", "--ledger", "l.csv"};

std::string error_of(std::vector<const char*> more) {
  more.insert(more.begin(), whole.begin(), whole.end());
  const auto options = parse_options(more);
  return options ? "" : options.error().message;
}

}  // namespace

TEST_CASE("options are read with a space or an equals sign") {
  auto words = whole;
  for (const auto* word : {"--threads", "4", "--batch=7", "--lease=300ms", "--crash-at", "commit.after:3"}) {
    words.push_back(word);
  }
  const auto options = parse_options(words).value();
  CHECK(options.campaign == "c.xml");
  CHECK(options.ledger == "l.csv");
  CHECK(options.threads == 4);
  CHECK(options.batch == 7);
  CHECK(options.lease == std::chrono::milliseconds(300));
  CHECK(options.crash.point == loyalty::CrashPoint::commit_after);
  CHECK(options.crash.nth == 3);
}

TEST_CASE("help is shown whatever else is there, and lists the crash points") {
  CHECK(parse_options(std::vector{"--bad", "--help"}).value().help);
  CHECK(loyalty::help_text().find("ledger.renamed") != std::string::npos);
}

TEST_CASE("a bad option is named") {
  CHECK(parse_options(std::vector{"--campaign", "c"}).error().message ==
        "missing: --events, --storage, --business, --ledger; see loyalty --help");
  CHECK(error_of({"--threads", "0"}).find("--threads takes a whole number from 1 to 256") == 0);
  CHECK(error_of({"--batch", "5000"}).find("--batch takes") == 0);
  CHECK(error_of({"--batch", "7x"}).find("--batch takes") == 0);
  CHECK(error_of({"--lease", "5"}).find("--lease takes") == 0);
  CHECK(error_of({"--lease", "61m"}).find("--lease takes") == 0);
  CHECK(error_of({"--crash-at", "nowhere"}).find("there is no crash point \"nowhere\"") == 0);
  CHECK(error_of({"--crash-at", "commit.after:0"}).find("\"0\" after the crash point") == 0);
  CHECK(error_of({"--colour", "red"}).find("there is no option \"--colour\"") == 0);
  CHECK(error_of({"--ledger", "x"}) == "--ledger is given twice");
  CHECK(error_of({"--batch"}).find("--batch is the last word") == 0);
}

TEST_CASE("the file of a storage URL is found") {
  CHECK(loyalty::storage_file("sqlite:a/b.db?shards=4") == "a/b.db");
  CHECK(loyalty::storage_file("memory:").empty());
}
