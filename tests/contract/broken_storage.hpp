#pragma once
#include <onceward/storage/storage.hpp>

#include <memory>
#include <string>
#include <vector>

/// The ways in which a storage may break its contract, each one mistake that a writer of one makes easily.
enum class Defect {
  none,
  // of commits
  insert_overwrites,
  insert_looks_then_writes,
  replace_ignores_revision,
  remove_ignores_revision,
  require_ignored,
  nothing_found,
  first_index_named,
  half_batch_stays,
  refusal_ends_span,
  last_batch_lost,
  span_backwards,
  revisions_forgotten,
  too_long_is_cut,
  batches_checked_one_by_one,
  value_ends_at_zero,
  // of counters
  counter_unbounded,
  counter_looks_then_writes,
  counter_of_text_is_zero,
  counters_backwards,
  add_times_anew,
  // of time
  expiry_ignored,
  expiry_late,
  due_early,
  replace_keeps_due,
  replace_keeps_expiry,
  clock_runs_back,
  // of reads, scans and due
  read_out_of_order,
  read_skips_absent,
  read_stale,
  read_in_halves,
  scan_by_signed_bytes,
  scan_loses_largest_byte,
  cursor_skips_one,
  cursor_at_the_end,
  due_unordered,
  due_of_all_shards,
  due_without_next,
  due_twice,
};
inline constexpr Defect last_defect = Defect::due_twice;

/// A memory storage with one defect.
onceward::Result<std::unique_ptr<onceward::Storage>> open_broken(Defect defect, const onceward::Clock& clock);
