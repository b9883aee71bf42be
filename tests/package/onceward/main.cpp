// A user of everything: a SQLite file opened by its URL, written through a storage of the testing library.
#include <onceward/storage/open.hpp>
#include <onceward/task/task_center.hpp>
#include <onceward/testing/faulty_storage.hpp>

#include <cstdio>
#include <string>

int main(int argc, char** argv) {
  if (argc != 2) return 1;
  const std::string url = "sqlite:" + std::string(argv[1]);
  for (const bool written : {false, true}) {
    const auto storage = onceward::open_storage(url);
    if (!storage) {
      std::fprintf(stderr, "%s\n", describe(storage.error()).c_str());
      return 2;
    }
    onceward::testing::FaultyStorage counted(**storage);
    const onceward::Batch batch{"shop/ann", {onceward::Operation::insert("greeting", "hello")}};
    const auto answer = onceward::commit_one(counted, batch);
    if (!answer || answer->applied() == written) return 3;
    const auto record = onceward::read_one(counted, "shop/ann", "greeting");
    if (!record || !*record || (*record)->value != "hello") return 4;
    if (counted.calls(onceward::testing::FaultyStorage::Call::commit) != 1) return 5;
  }
  std::puts("onceward: ok");
  return 0;
}
