#pragma once
#include <cstddef>

/// How often this program has asked `operator new` for memory, in all threads: to show that something does not.
std::size_t heap_requests() noexcept;
