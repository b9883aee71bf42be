#pragma once
#include <onceward/storage/storage.hpp>

#include <map>
#include <mutex>
#include <string>
#include <vector>

/// The ways in which a storage may break its contract, each one mistake that a writer of one makes easily.
enum class Defect {
  none,
  insert_overwrites,
  replace_ignores_revision,
  remove_ignores_revision,
  require_ignored,
  no_record_found,
  wrong_index,
  half_batch_stays,
  refusal_stops_span,
  last_batch_lost,
  span_backwards,
  counter_unbounded,
  counter_reads_then_writes,
  counter_of_text,
  counters_backwards,
  add_prolongs,
  revision_repeats_after_removal,
  add_keeps_revision,
  expired_is_read,
  expired_is_scanned,
  expiry_late,
  replace_keeps_due,
  replace_keeps_expiry,
  due_unordered,
  due_of_all_shards,
  due_without_next,
  due_early,
  scan_of_text_order,
  scan_prefix_stops_at_ff,
  cursor_skips,
  cursor_at_the_end,
  value_ends_at_zero,
  read_out_of_order,
  read_skips_absent,
  limits_unchecked,
  checks_batch_by_batch,
  clock_runs_back,
  stale_reads,
  reads_halves,
};

/// The name of every defect but none, in order.
const std::vector<std::pair<Defect, std::string>>& defects();

/// A memory storage with one defect.
onceward::Result<std::unique_ptr<onceward::Storage>> open_broken(Defect defect, const onceward::Clock& clock);
