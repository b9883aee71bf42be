#include "heap.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#if defined(__GLIBC__)
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace loyalty {

void use_huge_pages() noexcept {
#if defined(__GLIBC__)
  constexpr std::size_t ahead = 64UL << 20U;  // of address space: pages come as they are touched
  constexpr std::size_t large = 2UL << 20U;   // blocks above are mapped by themselves
  ::mallopt(M_TOP_PAD, static_cast<int>(ahead));
  ::mallopt(M_TRIM_THRESHOLD, static_cast<int>(2 * ahead));
  ::mallopt(M_MMAP_THRESHOLD, static_cast<int>(large));
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto first = (reinterpret_cast<std::uintptr_t>(::sbrk(0)) + page - 1) / page * page;
  void* volatile block = std::malloc(large / 2);  // volatile: a pair the compiler sees through is left out
  std::free(block);
  const auto last = reinterpret_cast<std::uintptr_t>(::sbrk(0));
  if (last > first) (void)::madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace loyalty
