#include <onceward/pipeline/publish_directory.hpp>

#include "unit/pipeline/templates_bench.hpp"

#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

#include <fstream>

using namespace onceward;
using namespace onceward::pipeline_test;

TEST_CASE("a folder is published, callees first; a bad file keeps no other one back") {
  TemplateBench bench;
  const TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder.file(name), std::ios::binary) << text;
  };
  write("a-outer.xml", "<pipeline id='outer'><call id='c' pipeline='middle'/></pipeline>");
  write("b-middle.xml", "<pipeline id='middle'><call id='c' pipeline='inner'/></pipeline>");
  write("c-inner.xml", text_of("inner", "1", 1));
  write("d-bad.xml", "<pipeline id='bad'>\n<step id='s' use='credit@7'/></pipeline>");
  write("e-alone.xml", "<pipeline id='alone'><call id='c' pipeline='nobody'/></pipeline>");
  write("f-large.xml", std::string(3 << 20, ' '));
  write("notes.txt", "no pipeline");
  const auto files = publish_directory(bench.templates, folder.path(), ops).value();
  REQUIRE(files.size() == 6);
  for (int i = 0; i < 3; ++i) CHECK(files[static_cast<std::size_t>(i)].report.value().fresh);
  for (int i = 3; i < 6; ++i) CHECK_FALSE(files[static_cast<std::size_t>(i)].report);
  CHECK(files[3].report.error().message.find("d-bad.xml:2:1: unknown-step") != std::string::npos);
  CHECK(files[4].diagnostics.at(0).code == "unknown-pipeline");
  CHECK(bench.templates.list().value().size() == 3);

  write("d-bad.xml", "<pipeline id='bad'>\n<step id='s' use='credit@1'/></pipeline>");
  const auto again = publish_directory(bench.templates, folder.path(), ops).value();
  CHECK_FALSE(again[0].report.value().fresh);
  CHECK(again[3].report.value().fresh);
  CHECK(bench.templates.history("outer").value().size() == 1);
  CHECK(publish_directory(bench.templates, folder.file("none"), ops).error().code ==
        ErrorCode::invalid_argument);
  bench.storage.fail_calls(testing::FaultyStorage::Call::read, testing::FaultyStorage::Fault::before,
                           ErrorCode::unavailable);
  CHECK(publish_directory(bench.templates, folder.path(), ops).error().code == ErrorCode::unavailable);
}
