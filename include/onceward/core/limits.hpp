#pragma once
#include <cstddef>
#include <cstdint>

/// Every bound of the library that is not an option of one object. Each is checked where input enters.
namespace onceward::limits {

inline constexpr std::size_t key_bytes = 512;                     ///< a record's key, 1..512 bytes
inline constexpr std::size_t partition_bytes = 256;               ///< a partition's name, 1..256 bytes
inline constexpr std::size_t value_bytes = std::size_t{1} << 20;  ///< a record's value, up to 1 MiB
inline constexpr std::size_t batch_operations = 1024;             ///< operations of one batch
inline constexpr std::size_t span_batches = 4096;                 ///< batches of one commit
inline constexpr std::size_t span_reads = 16384;                  ///< records of one read
inline constexpr std::size_t page_records = 1000;                 ///< records of one scan or due page
inline constexpr std::int64_t duration_us = std::int64_t{100} * 365 * 86400 * 1000000;  ///< due and expiry
inline constexpr std::uint32_t default_shards = 64;  ///< shards of a new storage
inline constexpr std::uint32_t most_shards = 16384;

inline constexpr std::size_t expression_bytes = 4096;  ///< text of one expression or template
inline constexpr std::size_t expression_depth = 64;
inline constexpr std::size_t expression_instructions = 512;
inline constexpr std::size_t list_elements = 64;  ///< elements of an inline list
inline constexpr std::size_t json_bytes = std::size_t{1} << 20;
inline constexpr std::size_t json_depth = 64;

inline constexpr std::size_t xml_bytes = std::size_t{2} << 20;  ///< one campaign or pipeline file
inline constexpr std::size_t xml_depth = 32;
inline constexpr std::size_t diagnostics = 100;  ///< errors reported of one file

}  // namespace onceward::limits
