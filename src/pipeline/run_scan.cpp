#include "pipeline/run_scan.hpp"

#include <onceward/storage/partitions.hpp>

#include <algorithm>
#include <charconv>

namespace onceward::pipeline_detail {
namespace {

constexpr std::size_t partitions_of_a_page = 256;

}  // namespace

std::string packed(std::initializer_list<std::string_view> texts) {
  std::string all;
  for (const auto text : texts) all.append(std::to_string(text.size())).append(":").append(text);
  return all;
}
bool unpack(std::string_view all, std::vector<std::string>& texts) {
  while (!all.empty()) {
    std::size_t size = 0;
    const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), size);
    const auto head = static_cast<std::size_t>(end - all.data());
    if (error != std::errc() || head >= all.size() || all[head] != ':' || size > all.size() - head - 1)
      return false;
    texts.emplace_back(all.substr(head + 1, size));
    all.remove_prefix(head + 1 + size);
  }
  return true;
}

RunScan::RunScan(Storage& storage, std::vector<std::string> partitions, std::string prefix, std::size_t page)
    : storage_(storage),
      listed_(partitions.empty()),
      prefix_(std::move(prefix)),
      page_(std::clamp<std::size_t>(page, 1, limits::page_records)),
      partitions_(std::move(partitions)) {}

std::string RunScan::cursor() const {
  const bool between = at_ >= partitions_.size();
  const bool begun = !listed_ || list_begun_;
  if (done_ || (between && begun && list_next_.empty())) return packed({"end", "", "", ""});
  if (!between) return packed({"run", list_from_, partitions_[at_], record_cursor_});
  return packed({"run", list_next_, wanted_, record_cursor_});
}

Result<void> RunScan::go_on_from(std::string_view cursor) {
  std::vector<std::string> texts;
  if (!unpack(cursor, texts) || texts.size() != 4 || (texts[0] != "run" && texts[0] != "end"))
    return fail(ErrorCode::invalid_argument, "this is no cursor of a scan over runs");
  done_ = texts[0] == "end";
  list_next_ = texts[1];
  wanted_ = texts[2];
  record_cursor_ = texts[3];
  if (listed_ || wanted_.empty()) return {};
  const auto found = std::find(partitions_.begin(), partitions_.end(), wanted_);
  if (found == partitions_.end())
    return fail(ErrorCode::invalid_argument, "this cursor is of a scan over other partitions");
  at_ = static_cast<std::size_t>(found - partitions_.begin());
  return {};
}

/// False at the end of all partitions.
Result<bool> RunScan::next_partition() {
  while (at_ >= partitions_.size()) {
    if (!listed_ || (list_begun_ && list_next_.empty())) return false;
    auto page = list_partitions(storage_, list_next_, partitions_of_a_page);
    if (!page) return fail(std::move(page).error());
    list_begun_ = true;
    list_from_ = std::exchange(list_next_, std::move(page->cursor));
    partitions_ = std::move(page->partitions);
    at_ = 0;
    if (wanted_.empty()) continue;
    // A partition that is gone from its page is passed by: the page begins again.
    const auto found = std::find(partitions_.begin(), partitions_.end(), wanted_);
    if (found != partitions_.end())
      at_ = static_cast<std::size_t>(found - partitions_.begin());
    else
      record_cursor_.clear();
    wanted_.clear();
  }
  return true;
}

Result<RunScan::Page> RunScan::next() {
  Page page;
  while (!done_) {
    const auto more = next_partition();
    if (!more) return fail(more.error());
    if (!*more) {
      done_ = true;
      break;
    }
    auto found = storage_.scan(partitions_[at_], prefix_, record_cursor_, page_);
    if (!found) return fail(std::move(found).error());
    page.now = found->now;
    page.partition = partitions_[at_];
    page.records = std::move(found->records);
    record_cursor_ = std::move(found->cursor);
    if (record_cursor_.empty()) ++at_;
    if (!page.records.empty()) break;
  }
  return page;
}

}  // namespace onceward::pipeline_detail
