#include "pipeline/template_writer.hpp"

#include <onceward/core/ids.hpp>

#include "core/utf8.hpp"

#include <fmt/format.h>

#include <iterator>

namespace onceward::pipeline_detail {
namespace {

constexpr int most_tries = 200;  // against others that write the same template
constexpr int most_lost = 3;
constexpr std::size_t actor_bytes = 128;
constexpr std::size_t reason_bytes = 1024;

Result<void> check_text(std::string_view what, std::string_view text, std::size_t most) {
  if (!text.empty() && text.size() <= most && core_detail::first_not_utf8(text) == std::string_view::npos)
    return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("an act on a template needs {}: 1 to {} bytes of UTF-8", what, most));
}

Result<std::optional<TemplateRecord>> decode(const std::optional<Record>& record) {
  if (!record) return std::optional<TemplateRecord>();
  auto decoded = decode_template(*record);
  if (!decoded) return fail(std::move(decoded).error());
  return std::optional(*std::move(decoded));
}

}  // namespace

Result<void> check_by(const Operator& by) {
  if (auto fine = check_text("an actor", by.actor, actor_bytes); !fine) return fine;
  return check_text("a reason", by.reason, reason_bytes);
}

TemplateWriter::TemplateWriter(Storage& storage, Journal* journal, std::string_view partition,
                               std::string_view id, const Operator& by)
    : storage_(storage),
      journal_(journal),
      partition_(partition),
      id_(id),
      key_(template_key(id)),
      by_(by),
      sign_(new_owner_id()) {}

Result<void> TemplateWriter::write(const TemplateJudge& judge) {
  if (auto fine = check_by(by_); !fine) return fine;
  for (int tries = 0, lost = 0; tries < most_tries; ++tries) {
    const RecordRef ref{partition_, key_};
    auto read = storage_.read({&ref, 1});
    if (!read) return fail(std::move(read).error());
    const auto& record = read->records[0];
    auto found = decode(record);
    if (!found) return fail(std::move(found).error());
    auto move = judge(*found);
    if (!move) return fail(std::move(move).error());
    if (!*move) return {};
    const auto batch = batch_of(**move, record ? record->revision : absent, read->now);
    auto written = commit_one(storage_, batch);
    if (written && written->applied()) {
      tell((*move)->act);
      return {};
    }
    if (written) {
      // Of a new template the limit may be what refused it; else somebody was faster.
      if (batch.operations[written->refused].key == count_key)
        return fail(ErrorCode::exhausted,
                    fmt::format("there are {} templates, and no more may be", most_templates));
      continue;
    }
    if (retry_advice(written.error().code) != RetryAdvice::read_back || ++lost > most_lost)
      return fail(std::move(written).error());
    const auto line = read_one(storage_, partition_, act_key(id_, (*move)->act.number));
    if (!line) return fail(std::move(written).error());
    if (*line && sign_of(**line) == sign_) {
      tell((*move)->act);
      return {};
    }
  }
  return fail(ErrorCode::conflict,
              fmt::format("others write the template \"{}\" all the time; try again", id_));
}

Batch TemplateWriter::batch_of(TemplateMove& move, Revision revision, Timestamp now) const {
  move.act.number = ++move.record.acts;
  move.act.actor = by_.actor;
  move.act.reason = by_.reason;
  move.act.at = now;
  auto value = encode(move.record);
  Batch batch{std::string(partition_), {}};
  auto& operations = batch.operations;
  operations.push_back(revision == absent ? Operation::insert(key_, std::move(value))
                                          : Operation::replace(key_, revision, std::move(value)));
  operations.push_back(Operation::insert(act_key(id_, move.act.number), encode(move.act, sign_)));
  operations.push_back(Operation::add(std::string(notice_key), 1));
  if (revision == absent) operations.push_back(Operation::add(std::string(count_key), 1, 0, most_templates));
  std::move(move.more.begin(), move.more.end(), std::back_inserter(operations));
  return batch;
}

void TemplateWriter::tell(const TemplateAct& act) const {
  if (journal_ == nullptr) return;
  journal_->write({.room = "pipeline",
                   .partition = partition_,
                   .subject = fmt::format("{}/{}", key_, act.version),
                   .trigger = act.act,
                   .from = act.before,
                   .to = act.after,
                   .actor = act.actor,
                   .reason = act.reason});
}

}  // namespace onceward::pipeline_detail
