// The Idempotency-Key header: every fault by its name, any bytes without harm.
#include <onceward/idempotency/http.hpp>

#include "support/catch.hpp"

#include <algorithm>
#include <random>

using namespace onceward;

namespace {

http::KeyHeader read(std::string_view value, const http::KeyRules& rules = {}) {
  return http::read_key({&value, 1}, rules);
}

std::string quoted(std::string_view key) {
  std::string text = "\"";
  for (const char c : key) {
    if (c == '"' || c == '\\') text += '\\';
    text += c;
  }
  return text + '"';
}

constexpr http::KeyRules lenient{.accept_unquoted = true};

}  // namespace

TEST_CASE("a quoted key is read, its escapes undone") {
  CHECK(read(R"("8e03978e-40d5-43e8-bc93-6894a57f9324")").key == "8e03978e-40d5-43e8-bc93-6894a57f9324");
  CHECK(read(R"("say \"hi\" \\ bye")").key == R"(say "hi" \ bye)");
  CHECK(read(R"("a, b; c")").key == "a, b; c");
  CHECK(read(R"(" ")").key == " ");
  CHECK(read("  \"k\" \t").key == "k");
  CHECK(read("\"k\"").fault == std::nullopt);
}

TEST_CASE("parameters of every kind are checked and ignored") {
  for (const std::string_view parameters :
       {";a", ";a;b", "; a=1", ";a=-12.345", ";a=\"x\\\"y\"", ";a=token/1:2*", ";*x_-.*=*t",
        ";a=:aGVsbG8=:", ";a=?0", ";a=?1", ";a=@1659578233", ";a=@-1", ";a=%\"f%c3%bc\"", ";a=1;b=2 ",
        ";a=123456789012345", ";a=123456789012.123"}) {
    INFO(parameters);
    CHECK(read("\"k\"" + std::string(parameters)).key == "k");
    CHECK(read("k" + std::string(parameters), lenient).key == "k");
  }
  for (const std::string_view parameters : {";",
                                            ";A",
                                            ";1=2",
                                            ";a=",
                                            "; a =1",
                                            ";a=\"x",
                                            ";a=:aGVs",
                                            ";a=?2",
                                            ";a=@1.5",
                                            ";a=@",
                                            ";a=1.",
                                            ";a=1.2345",
                                            ";a=-",
                                            ";a=1234567890123456",
                                            ";a=1234567890123.1",
                                            ";a=%\"f%C3\"",
                                            ";a=%\"%c\"",
                                            ";a=%x",
                                            ";a=\x80",
                                            " ;a",
                                            ";a=1 x",
                                            ";a=(1)"}) {
    INFO(parameters);
    CHECK(read("\"k\"" + std::string(parameters)).fault == http::KeyFault::malformed);
  }
}

TEST_CASE("each way to send no usable key has a fault of its own") {
  CHECK(http::read_key({}).fault == http::KeyFault::missing);
  const std::vector<std::string_view> two{"\"a\"", "\"a\""};
  CHECK(http::read_key(two).fault == http::KeyFault::repeated);
  CHECK(read(R"("a", "b")").fault == http::KeyFault::repeated);
  CHECK(read(R"("a";p=1 ,"b")").fault == http::KeyFault::repeated);
  CHECK(read("a,b", lenient).fault == http::KeyFault::repeated);
  for (const std::string_view nothing : {"", " ", "\t \t", "\"\"", "  \"\" ", "\"\";a=1"})
    CHECK(read(nothing).fault == http::KeyFault::empty);
  CHECK(read("8e03978e-40d5").fault == http::KeyFault::unquoted);
  CHECK(read("token;a=1").fault == http::KeyFault::unquoted);
  CHECK(read("8e03978e-40d5", lenient).key == "8e03978e-40d5");
  CHECK(read("\"k\"", lenient).key == "k");
}

TEST_CASE("hostile bytes are malformed, at the byte where they stand") {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const std::string value = std::string("\"ab") + c + "c\"";
    const auto header = read(value);
    INFO(byte);
    if (byte == '"' || byte == '\\' || byte < 0x20 || byte > 0x7E) {
      CHECK(header.fault == http::KeyFault::malformed);
      CHECK(header.offset == (byte == '"' ? 4 : 3));
      CHECK(header.key.empty());
    } else {
      CHECK(header.key == std::string("ab") + c + "c");
    }
  }
  CHECK(read("\"").fault == http::KeyFault::malformed);
  CHECK(read("\"a").offset == 2);
  CHECK(read("\"a\\").fault == http::KeyFault::malformed);
  CHECK(read("\"a\\\"").fault == http::KeyFault::malformed);
  CHECK(read("\"a\" \"b\"").fault == http::KeyFault::malformed);
  CHECK(read("\"a\"b").offset == 3);
  CHECK(read("a b", lenient).fault == http::KeyFault::malformed);
  CHECK(read("k\"y", lenient).fault == http::KeyFault::malformed);
  CHECK(read("caf\xc3\xa9", lenient).fault == http::KeyFault::malformed);
  CHECK(read("a\r\nX-Other: b", lenient).fault == http::KeyFault::malformed);
  CHECK(read(";a=1", lenient).fault == http::KeyFault::empty);
}

TEST_CASE("a key of the most bytes is taken, one more is too long") {
  CHECK(read(quoted(std::string(255, 'k'))).key.size() == 255);
  CHECK(read(quoted(std::string(256, 'k'))).fault == http::KeyFault::too_long);
  CHECK(read(quoted(std::string(255, '"'))).key == std::string(255, '"'));  // escapes do not count
  CHECK(read(std::string(256, 'k'), lenient).fault == http::KeyFault::too_long);
  CHECK(read("\"ab\"", {.bytes_max = 1}).fault == http::KeyFault::too_long);
  constexpr std::size_t all = static_cast<std::size_t>(-1);
  CHECK(read(quoted(std::string(512, 'k')), {.bytes_max = all}).key.size() == 512);
  CHECK(read(quoted(std::string(513, 'k')), {.bytes_max = all}).fault == http::KeyFault::too_long);
  CHECK(read(std::string(8'000'000, 'k'), lenient).fault == http::KeyFault::too_long);
  CHECK(read("\"" + std::string(8'000'000, 'k')).fault == http::KeyFault::too_long);
  std::string parameters = "\"k\"";
  for (int i = 0; i < 500'000; ++i) parameters += ";a=\"b\"";
  CHECK(read(parameters).key == "k");
}

TEST_CASE("whatever bytes come, a key that is taken is clean and reads back as itself") {
  std::mt19937 random(20251015);
  const std::string_view likely = "\"\"\\\\;;,, \tab=?:%@*-.01\r\n\x7f\x80";
  int taken = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string value;
    if (round % 2 == 0) {  // of bytes that matter
      for (auto length = random() % 12; length > 0; --length) value += likely[random() % likely.size()];
    } else {  // a sound header, some bytes of it changed
      for (auto length = random() % 8 + 1; length > 0; --length)
        value += static_cast<char>(0x20 + random() % 0x5F);
      value = quoted(value) + (random() % 2 == 0 ? ";a=\"b\";c=?1" : "");
      for (auto changes = random() % 3; changes > 0; --changes)
        value[random() % value.size()] = static_cast<char>(random() % 256);
    }
    const http::KeyRules rules{.accept_unquoted = random() % 2 == 0, .bytes_max = 6};
    const auto header = read(value, rules);
    if (!header) {
      REQUIRE(header.key.empty());
      REQUIRE(header.offset <= value.size());
      REQUIRE(http::problem_of(header).status == 400);
      continue;
    }
    ++taken;
    REQUIRE(header.key.size() >= 1);
    REQUIRE(header.key.size() <= 6);
    for (const char c : header.key) REQUIRE((c >= 0x20 && c <= 0x7E));
    REQUIRE(read(quoted(header.key), rules).key == header.key);
    if (!rules.accept_unquoted) REQUIRE(value.find('"') != std::string::npos);
  }
  CHECK(taken > 10'000);
}

TEST_CASE("each fault of a key is a 400 with a type and a sentence of its own, and no echo") {
  std::vector<std::string> types, details;
  for (const auto fault : {http::KeyFault::missing, http::KeyFault::repeated, http::KeyFault::empty,
                           http::KeyFault::too_long, http::KeyFault::unquoted, http::KeyFault::malformed}) {
    const auto problem = http::problem_of(http::KeyHeader{.key = {}, .fault = fault, .offset = 7});
    CHECK(problem.status == 400);
    CHECK_FALSE(problem.retry_after_s);
    CHECK(std::find(types.begin(), types.end(), problem.type) == types.end());
    CHECK(std::find(details.begin(), details.end(), problem.detail) == details.end());
    types.push_back(problem.type), details.push_back(problem.detail);
  }
  CHECK(types.front() == "urn:onceward:problem:key-missing");
  CHECK(types[3] == "urn:onceward:problem:key-too-long");
  CHECK(details.back().find("byte 7") != std::string::npos);
  const auto secret = http::to_json(http::problem_of(read("\"s3cret\x01\"")));
  CHECK(secret.find("s3cret") == std::string::npos);
  CHECK(http::problem_of(http::read_key({}), {.documentation = "https://pay.example/keys"}).type ==
        "https://pay.example/keys#key-missing");
}
