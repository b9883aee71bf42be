#include "orders.hpp"

#include "rehearsal.hpp"

#include <utility>

namespace loyalty {

using onceward::fail;
using onceward::Result;

namespace {
/// The file from its first byte to its end; it must outlive what reads it.
CsvReader::Source source_of(const InputFile& file) {
  return [&file, offset = std::uint64_t{0}](std::span<char> buffer) mutable {
    auto got = file.read(buffer, offset);
    if (got) offset += *got;
    return got;
  };
}
}  // namespace

Result<CsvReader> Orders::reader() const {
  CsvReader reader(source_of(file_), file_.name());
  if (auto header = reader.header(); !header) return fail(std::move(header).error());
  return reader;
}

Result<Orders> Orders::open(const std::string& path) {
  auto file = InputFile::open(path);
  if (!file) return fail(std::move(file).error());
  Orders orders(std::move(*file));
  CsvReader reader(source_of(orders.file_), orders.file_.name());
  auto header = reader.header();
  if (!header) return fail(std::move(header).error());
  orders.columns_ = std::move(*header);
  return orders;
}

Result<RowMapper> Orders::mapper(const std::string& merchant) const {
  return RowMapper::make(columns_, merchant, file_.name());
}

Result<void> check_orders(const Orders& orders, const RowMapper& mapper,
                          const onceward::CampaignDefinition& campaign, Progress& progress) {
  auto reader = orders.reader();
  if (!reader) return fail(std::move(reader).error());
  auto rehearsal = Rehearsal::make(campaign);
  if (!rehearsal) return fail(std::move(rehearsal).error());
  constexpr std::uint64_t show_every = 4096;
  CsvRow row;
  for (std::uint64_t count = 0;; ++count) {
    const auto more = reader->next(row);
    if (!more) return fail(more.error());
    if (!*more) return {};
    if (auto checked = mapper.check(row, *reader); !checked) return checked;
    if (auto played = rehearsal->play(row, mapper); !played) {
      return fail(reader->error_at(0, played.error().message));
    }
    if (count % show_every == 0) progress.show("checking", reader->bytes_read(), orders.file().size(), count);
  }
}

}  // namespace loyalty
