#include <onceward/storage/sqlite.hpp>

#include "support/catch.hpp"
#include "support/forked.hpp"
#include "support/temporary_folder.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>

using namespace onceward;
using namespace std::chrono_literals;

namespace {

constexpr int most_keys = 4096;

/// What became of every key a child wrote: 0 not tried, else one of these.
enum Fate : char { acknowledged = 1, failed = 2 };
struct Fates {
  char of[most_keys];
  int tried;
};

/// One batch: a long value, a short one and a counter, which are there together or not at all.
Result<CommitAnswer> write(Storage& storage, int key, std::size_t bytes) {
  const auto name = std::to_string(key);
  const Batch batch{"shop",
                    {Operation::insert("long/" + name, std::string(bytes, 'v')),
                     Operation::insert("short/" + name, name), Operation::add("sum", 1)}};
  return storage.commit({&batch, 1});
}

/// Writes until a commit fails for want of room, then some more; each must be answered yes or exhausted.
int write_until_full(Storage& storage, Fates& fates, std::size_t bytes, int after_full) {
  for (int full = 0; full < after_full;) {
    FORKED_REQUIRE(fates.tried < most_keys);
    const int key = fates.tried++;
    const auto done = write(storage, key, bytes);
    fates.of[key] = done ? acknowledged : failed;
    if (done) continue;
    ++full;
    if (done.error().code != ErrorCode::exhausted) {
      std::fprintf(stderr, "%s\n", describe(done.error()).c_str());
      return 1;
    }
  }
  return 0;
}

/// Every acknowledged batch is there whole, no other left a trace.
int check_fates(Storage& storage, const Fates& fates) {
  std::int64_t sum = 0;
  for (int key = 0; key < fates.tried; ++key) {
    const bool there = fates.of[key] == acknowledged;
    sum += there ? 1 : 0;
    for (const auto* kind : {"long/", "short/"}) {
      const auto read = read_one(storage, "shop", kind + std::to_string(key));
      FORKED_REQUIRE(read.has_value());
      FORKED_REQUIRE(read->has_value() == there);
    }
  }
  const auto read = read_one(storage, "shop", "sum");
  FORKED_REQUIRE(read.has_value() && read->has_value() && (*read)->value == std::to_string(sum));
  return 0;
}

void limit_files(std::uintmax_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = bytes == 0 ? limit.rlim_max : bytes;
  ::setrlimit(RLIMIT_FSIZE, &limit);
}

constexpr int cannot_mount = 77;

/// A small disk that only this process sees and that ends with it. False where the system does not allow it.
bool mount_small_disk(const std::string& place, const char* size) {
  const auto user = ::geteuid();
  const auto group = ::getegid();
  if (::unshare(CLONE_NEWNS) != 0) {
    if (::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << user << " 1";
    std::ofstream("/proc/self/gid_map") << "0 " << group << " 1";
  }
  if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
  return ::mount("none", place.c_str(), "tmpfs", 0, size) == 0;
}

/// Takes what room is left, to the last byte.
void take_all_room(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "ab");
  if (file == nullptr) throw std::runtime_error("no file can be made on the small disk");
  std::setvbuf(file, nullptr, _IONBF, 0);
  for (std::size_t piece = 65536; piece > 0; piece /= 2) {
    const std::string bytes(piece, 'b');
    while (std::fwrite(bytes.data(), 1, piece, file) == piece) {
    }
  }
  std::fclose(file);
}

}  // namespace

TEST_CASE(
    "a process that dies with no room left has lost nothing it acknowledged and kept nothing it refused") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  const Shared<Fates> fates;
  Forked child([&] {
    auto storage = sqlite::open(path).value();
    limit_files(1 << 20);
    if (write_until_full(*storage, *fates, 20'000, 5) != 0) return 1;
    if (write_until_full(*storage, *fates, 1'000, 5) != 0) return 1;  // what was refused left its room free
    const int code = check_fates(*storage, *fates);
    (void)storage.release();  // nothing is tidied up: the log is recovered by who comes next
    return code;
  });
  REQUIRE(child.wait() == 0);
  CHECK(std::filesystem::file_size(path + "-wal") > 0);
  const auto storage = sqlite::open(path, {.check_integrity = true}).value();
  CHECK(check_fates(*storage, *fates) == 0);
}

TEST_CASE("once there is room again the same storage goes on, and so does the copy of its log") {
  constexpr std::uintmax_t limit = 24 << 20;
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  const Shared<Fates> fates;
  Forked child([&] {
    auto storage = sqlite::open(path, {.synchronous = sqlite::Synchronous::normal}).value();
    limit_files(limit);
    // More than the file holds and the log holds besides: both the copy and the commits have failed by then.
    if (write_until_full(*storage, *fates, 100'000, 5) != 0) return 1;
    if (check_fates(*storage, *fates) != 0) return 1;
    limit_files(0);
    // Once the thread copies again, the file outgrows the old limit.
    const auto until = std::chrono::steady_clock::now() + 60s;
    while (std::filesystem::file_size(path) <= limit + limit / 4) {
      FORKED_REQUIRE(std::chrono::steady_clock::now() < until && fates->tried < most_keys);
      const int key = fates->tried++;
      FORKED_REQUIRE(write(*storage, key, 100'000).has_value());
      fates->of[key] = acknowledged;
    }
    return check_fates(*storage, *fates);
  });
  REQUIRE(child.wait() == 0);
  const auto storage = sqlite::open(path, {.check_integrity = true}).value();
  CHECK(check_fates(*storage, *fates) == 0);
}

TEST_CASE("a file that cannot be created for want of room is exhausted, and created once there is some") {
  const TemporaryFolder folder;
  const auto path = folder.file("a.db");
  Forked child([&] {
    limit_files(1000);
    const auto refused = sqlite::open(path);
    FORKED_REQUIRE(!refused.has_value());
    FORKED_REQUIRE(refused.error().code == ErrorCode::exhausted);
    FORKED_REQUIRE(refused.error().message.find(path) != std::string::npos);
    limit_files(0);
    const auto opened = sqlite::open(path);
    FORKED_REQUIRE(opened.has_value() && write(**opened, 1, 100).has_value());
    return 0;
  });
  CHECK(child.wait() == 0);
}

TEST_CASE("on a disk that is really full nothing acknowledged is lost, and freed room is used at once") {
  const TemporaryFolder folder;
  const Shared<Fates> fates;
  Forked child([&] {
    if (!mount_small_disk(folder.path(), "size=12m")) return cannot_mount;
    const auto path = folder.file("a.db");
    const auto ballast = folder.file("ballast");
    take_all_room(ballast);
    const auto refused = sqlite::open(path);
    FORKED_REQUIRE(!refused.has_value() && refused.error().code == ErrorCode::exhausted);
    std::filesystem::resize_file(ballast, std::filesystem::file_size(ballast) / 2);
    auto storage = sqlite::open(path).value();
    if (write_until_full(*storage, *fates, 50'000, 5) != 0) return 1;
    take_all_room(ballast);
    if (write_until_full(*storage, *fates, 1'000, 5) != 0) return 1;
    if (check_fates(*storage, *fates) != 0) return 1;
    const int before = fates->tried;
    std::filesystem::remove(ballast);
    if (write_until_full(*storage, *fates, 50'000, 1) != 0) return 1;
    FORKED_REQUIRE(fates->tried > before + 20);
    if (check_fates(*storage, *fates) != 0) return 1;
    storage.reset();  // closing copies the log, for which there is no room; it stays
    storage = sqlite::open(path).value();
    return check_fates(*storage, *fates);
  });
  const int code = child.wait();
  if (code == cannot_mount) WARN("no file system can be mounted here: a full disk was not tried");
  CHECK((code == 0 || code == cannot_mount));
}
