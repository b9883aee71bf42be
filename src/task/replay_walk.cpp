#include "task/replay_walk.hpp"

#include <onceward/pipeline/runner.hpp>
#include <onceward/storage/partitions.hpp>

#include "pipeline/run_scan.hpp"
#include "task/board.hpp"
#include "task/records.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace onceward::task_detail {
namespace {

constexpr std::size_t partitions_at_once = 256;

}  // namespace

ReplayWalk::ReplayWalk(Storage& storage, const MerchantIndex& index, std::string merchant,
                       std::string_view user, std::string task)
    : storage_(storage),
      index_(index),
      merchant_(std::move(merchant)),
      task_(std::move(task)),
      users_(user_partition(merchant_, "")),
      instances_(std::string(instance_prefix) + (task_.empty() ? "" : task_ + "/")),
      listed_(user.empty()) {
  if (!listed_) partitions_.push_back(user_partition(merchant_, user));
}

std::set<std::string> ReplayWalk::prefixes_of(std::string_view user) const {
  // The board comes first: what leaves it meanwhile is found behind it.
  std::set<std::string> prefixes{std::string(board_key), instances_};
  for (const auto& [id, versions] : index_.versions) {
    if (!task_.empty() && task_ != id) continue;
    const auto runs = fmt::format("{}/{}/{}/", merchant_, user, id);
    for (const auto& [version, known] : versions) {
      for (const auto& stage : known.task->stages) {
        if (known.task->group || stage.take_back)
          prefixes.insert(run_record_key(stage.plan.definition().id, runs));
        if (stage.take_back) prefixes.insert(run_record_key(stage.take_back->definition().id, runs));
      }
    }
  }
  return prefixes;
}

Result<void> ReplayWalk::list() {
  auto page = list_partitions(storage_, list_next_, partitions_at_once);
  if (!page) return fail(std::move(page).error());
  begun_ = true;
  list_from_ = std::exchange(list_next_, std::move(page->cursor));
  partitions_ = std::move(page->partitions);
  std::erase_if(partitions_, [&](const std::string& partition) { return !partition.starts_with(users_); });
  at_.partition = 0;
  if (wanted_.empty()) return {};
  const auto found = std::find(partitions_.begin(), partitions_.end(), wanted_);
  wanted_.clear();
  if (found != partitions_.end()) {
    at_.partition = static_cast<std::size_t>(found - partitions_.begin());
  } else {
    at_ = {};  // it is gone from its page, which begins again
  }
  return {};
}

bool ReplayWalk::done() const noexcept {
  return at_.partition == partitions_.size() && (!listed_ || (begun_ && list_next_.empty()));
}

/// The instances of a user's board, as if each had a record of its own.
Result<ScanPage> ReplayWalk::scan_board(const std::string& partition, std::size_t most) {
  const RecordRef ref{partition, board_key};
  const auto stored = storage_.read({&ref, 1});
  if (!stored) return fail(stored.error());
  ScanPage page{stored->now};
  const auto& board = stored->records.front();
  if (!board) return page;
  std::pmr::vector<BoardEntry> entries;
  if (const auto read = decode_board(*board, entries); !read) {
    page.records.push_back(*board);  // told as what cannot be read
    return page;
  }
  for (const auto& entry : entries) {
    auto key = std::string(instance_prefix).append(entry.name);
    if (!key.starts_with(instances_) || key <= at_.behind) continue;
    page.records.push_back({std::move(key), encode(entry.instance()), board->revision});
  }
  std::sort(page.records.begin(), page.records.end(),
            [](const Record& a, const Record& b) { return a.key < b.key; });
  if (page.records.size() <= most) return page;
  page.records.resize(most);
  page.cursor = page.records.back().key;
  return page;
}

Result<ReplayWalk::Page> ReplayWalk::next(std::size_t most) {
  Page page;
  if (at_.partition == partitions_.size()) {
    if (auto listed = list(); !listed) return fail(std::move(listed).error());
    return page;
  }
  page.partition = partitions_[at_.partition];
  page.user = page.partition.substr(users_.size());
  const auto prefixes = prefixes_of(page.user);
  const auto prefix = prefixes.lower_bound(at_.prefix);
  if (prefix == prefixes.end()) {
    at_ = {at_.partition + 1};
    return page;
  }
  if (*prefix != at_.prefix) at_.behind.clear();
  at_.prefix = *prefix;
  auto found = *prefix == board_key
                   ? scan_board(page.partition, most)
                   : storage_.scan(page.partition, *prefix, at_.behind, std::min(most, limits::page_records));
  if (!found) return fail(std::move(found).error());
  page.now = found->now;
  page.instances = *prefix == board_key || prefix->starts_with(instance_prefix);
  page.records = std::move(found->records);
  last_ = at_;
  at_.behind = std::move(found->cursor);
  if (!at_.behind.empty()) return page;
  if (const auto after = std::next(prefix); after != prefixes.end()) {
    at_.prefix = *after;
  } else {
    at_ = {at_.partition + 1};
  }
  return page;
}

void ReplayWalk::go_on_behind(std::string key) {
  at_ = last_;
  at_.behind = std::move(key);
}

std::string ReplayWalk::cursor() const {
  const bool between = at_.partition == partitions_.size();
  if (between) return pipeline_detail::packed({list_next_, wanted_, at_.prefix, at_.behind});
  return pipeline_detail::packed({list_from_, partitions_[at_.partition], at_.prefix, at_.behind});
}

Result<void> ReplayWalk::go_on_from(std::string_view cursor) {
  std::vector<std::string> texts;
  const bool read = pipeline_detail::unpack(cursor, texts) && texts.size() == 4;
  if (!read || (!texts[1].empty() && !texts[1].starts_with(users_)) ||
      (!listed_ && texts[1] != partitions_.front())) {
    return fail(ErrorCode::invalid_argument, "the cursor is of no replay with this request");
  }
  if (listed_) list_next_ = texts[0];
  if (listed_) wanted_ = texts[1];
  at_.prefix = texts[2];
  at_.behind = texts[3];
  // The page of the list it was on is read again at no cost: a call that may look at one thing gets on, too.
  return wanted_.empty() ? Result<void>() : list();
}

}  // namespace onceward::task_detail
