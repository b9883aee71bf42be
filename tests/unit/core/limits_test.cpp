#include <onceward/core/limits.hpp>
#include <onceward/expr/expression.hpp>
#include <onceward/pipeline/plan.hpp>
#include <onceward/storage/memory.hpp>

#include "support/catch.hpp"

#include <string>
#include <vector>

using namespace onceward;

namespace {

std::string repeat(std::string_view text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

Result<void> check_one(Operation operation) {
  const std::vector<Batch> span{{"shop", {std::move(operation)}}};
  return check_commit(span);
}

bool refused(const Result<void>& checked) {
  return !checked && checked.error().code == ErrorCode::invalid_argument;
}

/// What is wrong with a text as a pipeline.
std::vector<Diagnostic> mistakes_of(const std::string& xml) {
  std::vector<Diagnostic> diagnostics;
  (void)parse_pipeline_xml(xml, "a.xml", &diagnostics);
  return diagnostics;
}

bool has(const std::vector<Diagnostic>& diagnostics, std::string_view code) {
  for (const auto& diagnostic : diagnostics) {
    if (diagnostic.code == code) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("the bounds are those the documents promise") {
  CHECK(limits::key_bytes == 512);
  CHECK(limits::partition_bytes == 256);
  CHECK(limits::value_bytes == 1'048'576);
  CHECK(limits::default_shards == 64);
  CHECK(limits::expression_bytes == 4096);
  CHECK(limits::expression_depth == 64);
  CHECK(limits::expression_instructions == 512);
  CHECK(limits::list_elements == 64);
  CHECK(limits::diagnostics == 100);
}

TEST_CASE("a name or value at its bound is taken, one byte more is refused") {
  CHECK(check_one(Operation::insert(std::string(limits::key_bytes, 'k'), "v")));
  CHECK(refused(check_one(Operation::insert(std::string(limits::key_bytes + 1, 'k'), "v"))));
  CHECK(refused(check_one(Operation::insert("", "v"))));
  CHECK(check_one(Operation::insert("k", std::string(limits::value_bytes, 'v'))));
  CHECK(refused(check_one(Operation::insert("k", std::string(limits::value_bytes + 1, 'v')))));
  const auto one = Operation::insert("k", "v");
  const std::vector<Batch> longest{{std::string(limits::partition_bytes, 'p'), {one}}};
  const std::vector<Batch> longer{{std::string(limits::partition_bytes + 1, 'p'), {one}}};
  CHECK(check_commit(longest));
  CHECK(refused(check_commit(longer)));
}

TEST_CASE("a due time or expiry at its bound is taken, a microsecond more is refused") {
  for (const auto member : {&Timing::due_in, &Timing::expires_in}) {
    Timing timing;
    timing.*member = Duration(limits::duration_us);
    CHECK(check_one(Operation::insert("k", "v", timing)));
    timing.*member = Duration(limits::duration_us + 1);
    CHECK(refused(check_one(Operation::insert("k", "v", timing))));
    timing.*member = Duration(-1);
    CHECK(refused(check_one(Operation::insert("k", "v", timing))));
  }
}

TEST_CASE("a batch, a span, a read and a page hold as many as their bound says and no more") {
  Batch batch{"shop", {}};
  for (std::size_t i = 0; i < limits::batch_operations; ++i)
    batch.operations.push_back(Operation::insert(std::to_string(i), "v"));
  CHECK(check_commit(std::vector<Batch>{batch}));
  batch.operations.push_back(Operation::insert("more", "v"));
  CHECK(refused(check_commit(std::vector<Batch>{batch})));

  const auto one = Operation::add("count", 1);
  CHECK(check_commit(std::vector<Batch>(limits::span_batches, Batch{"shop", {one}})));
  CHECK(refused(check_commit(std::vector<Batch>(limits::span_batches + 1, Batch{"shop", {one}}))));
  CHECK(check_read(std::vector<RecordRef>(limits::span_reads, RecordRef{"shop", "k"})));
  CHECK(refused(check_read(std::vector<RecordRef>(limits::span_reads + 1, RecordRef{"shop", "k"}))));
  CHECK(check_scan("shop", {}, {}, limits::page_records));
  CHECK(refused(check_scan("shop", {}, {}, limits::page_records + 1)));
  CHECK(check_due({}, limits::page_records, 64));
  CHECK(refused(check_due({}, limits::page_records + 1, 64)));
}

TEST_CASE("a storage has 1 to 16,384 shards, 64 where none are asked for") {
  CHECK(open_memory().value()->shard_count() == limits::default_shards);
  CHECK(open_memory({.shards = limits::most_shards}).value()->shard_count() == 16'384);
  CHECK_FALSE(open_memory({.shards = limits::most_shards + 1}));
  CHECK_FALSE(open_memory({.shards = 0}));
}

TEST_CASE("a JSON text at its bound is read, a longer or deeper one is refused") {
  const auto text = [](std::size_t bytes) { return '"' + std::string(bytes - 2, 'x') + '"'; };
  CHECK(Value::from_json(text(limits::json_bytes)));
  CHECK(Value::from_json(text(limits::json_bytes + 1)).error().code == ErrorCode::limit_exceeded);
  const auto nested = [](std::size_t depth) { return repeat("[", depth) + repeat("]", depth); };
  CHECK(Value::from_json(nested(limits::json_depth)));
  CHECK(Value::from_json(nested(limits::json_depth + 1)).error().code == ErrorCode::limit_exceeded);
}

TEST_CASE("an expression nested to its bound is read, a deeper one is refused") {
  const auto nested = [](std::size_t depth) { return repeat("(", depth) + "1" + repeat(")", depth); };
  CHECK(Expression::parse(nested(limits::expression_depth - 1)));
  CHECK(Expression::parse(nested(limits::expression_depth + 1)).error().code == ErrorCode::limit_exceeded);
}

TEST_CASE("a definition's text at its bound is looked at, a longer or deeper one is refused as a whole") {
  const std::string document = "<pipeline id=\"a\"><step id=\"s\" use=\"credit@1\"/></pipeline>";
  const auto padded = [&](std::size_t bytes) { return document + std::string(bytes - document.size(), ' '); };
  CHECK(mistakes_of(padded(limits::xml_bytes)).empty());
  CHECK(has(mistakes_of(padded(limits::xml_bytes + 1)), "too-large"));
  const auto nested = [](std::size_t depth) { return repeat("<a>", depth) + repeat("</a>", depth); };
  CHECK_FALSE(has(mistakes_of(nested(limits::xml_depth)), "too-deep"));
  CHECK(has(mistakes_of(nested(limits::xml_depth + 1)), "too-deep"));
}

TEST_CASE("of a file with very many mistakes 100 are reported") {
  const auto many = "<pipeline id=\"a\">" + repeat("<nonsense/>", 500) + "</pipeline>";
  CHECK(mistakes_of(many).size() == limits::diagnostics);
}
