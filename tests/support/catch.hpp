#pragma once
// Catch2 3 where it is, else Catch2 2: the tests are written to what both offer.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
