// Guarded first calls as servers are added: one program over 1, 2, 4, ... storages (Redis masters, MariaDB
// servers, files), with the share of the CPU that the program itself takes.
//   bench_masters URL...        open_storage URLs: the first alone, the next two together, the next four, ...
// A set remembers its members, so give each server a prefix, database or file of its own for every set.
#include <onceward/storage/open.hpp>
#include <onceward/storage/sharded.hpp>

#include "bench/cycles.hpp"

#include <sys/resource.h>

using namespace onceward;
using namespace bench;

namespace {

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

}  // namespace

int main(int count, char** words) {
  if (count < 2) end("bench_masters URL...");
  const std::vector<std::string> urls(words + 1, words + count);
  std::printf("%-8s %8s %10s %9s %9s %16s %20s\n", "servers", "threads", "cycles/s", "p50 us", "p99 us",
              "client us/cycle", "client, of a core");
  for (std::size_t servers = 1; 2 * servers - 1 <= urls.size(); servers *= 2) {
    std::vector<StorageMember> members;
    for (std::size_t i = 0; i < servers; ++i)
      members.push_back({"s" + std::to_string(servers) + "-" + std::to_string(i),
                         need(open_storage(urls[servers - 1 + i]))});
    const std::shared_ptr<Storage> storage = servers == 1
                                                 ? std::move(members.front().storage)
                                                 : std::shared_ptr<Storage>(need(open_sharded(members)));
    for (const unsigned threads : {1U, 8U, 64U}) {
      std::vector<Figure> figures;
      std::vector<double> shares;
      for (int round = 0; round < 3; ++round) {
        const auto before = cpu_seconds();
        const auto begun = SteadyClock::now();
        figures.push_back(measure(threads, 1, guarded(*storage)));
        const std::chrono::duration<double> took = SteadyClock::now() - begun;
        shares.push_back((cpu_seconds() - before) / took.count());
      }
      std::sort(figures.begin(), figures.end(),
                [](const Figure& a, const Figure& b) { return a.cycles_per_second < b.cycles_per_second; });
      std::sort(shares.begin(), shares.end());
      std::printf("%-8zu %8u %10.0f %9.0f %9.0f %16.1f %19.0f%%\n", servers, threads,
                  figures[1].cycles_per_second, figures[1].p50_us, figures[1].p99_us,
                  shares[1] * 1e6 / figures[1].cycles_per_second, shares[1] * 100);
      std::fflush(stdout);
    }
  }
}
