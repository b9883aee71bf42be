#include <onceward/storage/sqlite.hpp>

#include "support/catch.hpp"
#include "support/failing_disk.hpp"
#include "support/forked.hpp"
#include "support/temporary_folder.hpp"

#include <grp.h>

#include <filesystem>

using namespace onceward;

namespace {

constexpr int records = 2000;

Result<BatchAnswer> put(Storage& storage, const std::string& key) {
  return commit_one(storage,
                    {"shop", {Operation::insert(key, std::string(1000, 'v')), Operation::add("sum", 1)}});
}

bool there(Storage& storage, const std::string& key) {
  return read_one(storage, "shop", key).value().has_value();
}

std::string sum(Storage& storage) { return read_one(storage, "shop", "sum").value().value().value; }

/// More than a cache of 64 KiB holds, so that reads go to the disk.
std::unique_ptr<Storage> filled(const std::string& path) {
  auto storage = sqlite::open(path, {.cache_kib = 64}).value();
  std::vector<Batch> batches;
  for (int i = 0; i < records; ++i)
    batches.push_back({"old", {Operation::insert(std::to_string(i), std::string(1000, 'o'))}});
  REQUIRE(storage->commit(batches).has_value());
  REQUIRE(put(*storage, "first")->applied());
  return storage;
}

int unreadable(Storage& storage) {
  int count = 0;
  for (int i = 0; i < records; i += 10) {
    const auto read = read_one(storage, "old", std::to_string(i));
    if (!read && read.error().code != ErrorCode::unavailable) return -1;
    if (read && !read->has_value()) return -1;  // an error is not an absence
    count += read ? 0 : 1;
  }
  return count;
}

}  // namespace

TEST_CASE("while the disk takes no writes reads go on, and commits too once it does") {
  const TemporaryFolder folder;
  const FailingDisk disk;
  const auto path = folder.file("a.db");
  {
    const auto storage = filled(path);
    FailingDisk::writes = true;
    for (int i = 0; i < 3; ++i) {
      const auto refused = put(*storage, "refused");
      REQUIRE_FALSE(refused.has_value());
      INFO(refused.error().message);
      CHECK(refused.error().code == ErrorCode::in_doubt);
      CHECK(refused.error().message.find(path) != std::string::npos);
    }
    CHECK(unreadable(*storage) == 0);
    CHECK(there(*storage, "first"));
    CHECK_FALSE(there(*storage, "refused"));
    FailingDisk::heal();
    CHECK(put(*storage, "second")->applied());
    CHECK(sum(*storage) == "2");
  }
  const auto storage = sqlite::open(path, {.check_integrity = true}).value();
  CHECK(there(*storage, "second"));
  CHECK_FALSE(there(*storage, "refused"));
}

TEST_CASE("a commit whose sync fails is in doubt, and the storage goes on") {
  const TemporaryFolder folder;
  const FailingDisk disk;
  const auto path = folder.file("a.db");
  {
    const auto storage = filled(path);
    FailingDisk::syncs = true;
    CHECK(put(*storage, "doubtful").error().code == ErrorCode::in_doubt);
    FailingDisk::heal();
    const bool kept = there(*storage, "doubtful");
    // What the caller does after reading back: the answer stands.
    const auto again = put(*storage, "doubtful").value();
    CHECK(again.applied() == !kept);
    CHECK(sum(*storage) == "2");
  }
  CHECK(sum(*sqlite::open(path, {.check_integrity = true}).value()) == "2");
}

TEST_CASE("what was read back as not there after a failed sync is not there after a crash either") {
  const TemporaryFolder folder;
  const FailingDisk disk;
  const auto path = folder.file("a.db");
  const auto storage = filled(path);
  FailingDisk::syncs = true;
  CHECK(put(*storage, "doubtful").error().code == ErrorCode::in_doubt);
  // While that cannot be said for sure, nothing is.
  const auto unsaid = read_one(*storage, "shop", "doubtful");
  CHECK((!unsaid && unsaid.error().code == ErrorCode::unavailable));
  FailingDisk::heal();
  CHECK_FALSE(there(*storage, "doubtful"));
  // As a process finds the files that starts after this one was killed.
  const auto copy = folder.file("b.db");
  std::filesystem::copy_file(path, copy);
  std::filesystem::copy_file(path + "-wal", copy + "-wal");
  CHECK_FALSE(there(*sqlite::open(copy).value(), "doubtful"));
}

TEST_CASE("a disk that gives no reads is an error, never an absence, and no end of the storage") {
  const TemporaryFolder folder;
  const FailingDisk disk;
  const auto storage = filled(folder.file("a.db"));
  FailingDisk::reads = true;
  CHECK(unreadable(*storage) > 0);
  CHECK(storage->scan("old", {}, {}, limits::page_records).error().code == ErrorCode::unavailable);
  FailingDisk::heal();
  CHECK(unreadable(*storage) == 0);
  CHECK(put(*storage, "second")->applied());
}

TEST_CASE("a file that was moved or deleted while open takes no commit that nobody would find") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  auto storage = sqlite::open(path).value();
  REQUIRE(put(*storage, "first")->applied());
  const auto check_refused = [&] {
    const auto refused = put(*storage, "refused");
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == ErrorCode::unavailable);
    CHECK(refused.error().message.find("moved, deleted or replaced") != std::string::npos);
    CHECK(there(*storage, "first"));
  };
  std::filesystem::rename(path, folder.file("b.db"));
  check_refused();
  std::filesystem::rename(folder.file("b.db"), path);
  CHECK(put(*storage, "second")->applied());
  std::filesystem::copy_file(path, folder.file("copy.db"));
  std::filesystem::rename(folder.file("copy.db"), path);
  check_refused();
  std::filesystem::remove(path);
  check_refused();
}

TEST_CASE("a file or folder this user may not write is unavailable and the message says what to do") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  CHECK(put(*sqlite::open(path).value(), "first")->applied());
  REQUIRE_FALSE(std::filesystem::exists(path + "-wal"));
  using Perms = std::filesystem::perms;
  constexpr auto read_only = Perms::owner_read | Perms::group_read | Perms::others_read;
  constexpr auto enter = read_only | Perms::owner_exec | Perms::group_exec | Perms::others_exec;
  // The permissions do not bind root: the child is somebody else then.
  const auto opens_as_nobody = [&](const std::string& says) {
    Forked child([&] {
      constexpr unsigned nobody = 65534;
      if (::geteuid() == 0) {
        FORKED_REQUIRE(::setgroups(0, nullptr) == 0 && ::setgid(nobody) == 0 && ::setuid(nobody) == 0);
      }
      const auto opened = sqlite::open(path);
      FORKED_REQUIRE(!opened.has_value() && opened.error().code == ErrorCode::unavailable);
      if (opened.error().message.find(says) == std::string::npos) {
        std::fprintf(stderr, "%s\n", opened.error().message.c_str());
        return 2;
      }
      return 0;
    });
    return child.wait();
  };
  std::filesystem::permissions(folder.path(), enter);
  std::filesystem::permissions(path, read_only | Perms::owner_write);
  if (::geteuid() == 0) CHECK(opens_as_nobody("make it and its folder writable") == 0);
  std::filesystem::permissions(path,
                               read_only | Perms::owner_write | Perms::group_write | Perms::others_write);
  CHECK(opens_as_nobody("its folder") == 0);
  std::filesystem::permissions(folder.path(), Perms::owner_all);
  const auto storage = sqlite::open(path).value();
  CHECK(there(*storage, "first"));
}
