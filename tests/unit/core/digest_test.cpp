#include <onceward/core/digest.hpp>

#include "support/catch.hpp"

#include <string>

using namespace onceward;

namespace {

/// A message of `size` bytes in which no two neighbours are equal.
std::string message_of(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 + 3);
  return text;
}

std::string in_pieces(std::string_view message, std::size_t piece) {
  Sha256 hash;
  for (; message.size() > piece; message.remove_prefix(piece)) hash.update(message.substr(0, piece));
  hash.update(message);
  return to_hex(hash.finish());
}

}  // namespace

TEST_CASE("SHA-256 gives the digests FIPS 180 publishes") {
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(sha256_hex(std::string(1'000'000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("every length from 0 to 130 bytes has the digest another implementation gives") {
  // Python: h = hashlib.sha256()
  //         for n in range(131): h.update(sha256(bytes((i * 7 + 3) & 255 for i in range(n))).digest())
  Sha256 all;
  for (std::size_t size = 0; size <= 130; ++size) {
    Sha256 one;
    one.update(message_of(size));
    const auto digest = one.finish();
    all.update({reinterpret_cast<const char*>(digest.data()), digest.size()});
  }
  CHECK(to_hex(all.finish()) == "b3d31aa6b4f0810cff11dc15fd1017d7ba047ad10e757b0e36ed68897e6d1851");
}

TEST_CASE("a message gives one digest, however it is cut into pieces") {
  for (std::size_t size = 55; size <= 65; ++size) {
    const auto message = message_of(size);
    const auto whole = sha256_hex(message);
    for (std::size_t piece = 1; piece <= size; ++piece) {
      INFO(size << " bytes by " << piece);
      CHECK(in_pieces(message, piece) == whole);
    }
  }
  const auto long_message = message_of(1000);
  for (std::size_t piece = 55; piece <= 65; ++piece) {
    CHECK(in_pieces(long_message, piece) == sha256_hex(long_message));
  }
  // A full buffer, a whole block from the caller's memory, and a rest, in every order.
  for (std::size_t first = 0; first <= 130; ++first) {
    Sha256 hash;
    hash.update(std::string_view(long_message).substr(0, first));
    hash.update({});
    hash.update(std::string_view(long_message).substr(first));
    CHECK(to_hex(hash.finish()) == sha256_hex(long_message));
  }
}

TEST_CASE("after reset a digest knows nothing of what was fed before") {
  Sha256 hash;
  hash.update(message_of(100));
  hash.reset();
  hash.update("abc");
  const auto first = to_hex(hash.finish());
  CHECK(first == sha256_hex("abc"));
  hash.reset();
  CHECK(to_hex(hash.finish()) == sha256_hex(""));
}

TEST_CASE("parts that run into one another as text differ as parts") {
  const auto of_parts = [](std::string_view one, std::string_view other) {
    Sha256 hash;
    hash.update_part(one);
    hash.update_part(other);
    return to_hex(hash.finish());
  };
  CHECK(of_parts("ab", "c") != of_parts("a", "bc"));
  CHECK(of_parts("", "abc") != of_parts("abc", ""));
  // Tokens are made of parts and stored, so the form is fixed: eight bytes of length, the lowest first.
  // Python: sha256((2).to_bytes(8, 'little') + b'ab' + (1).to_bytes(8, 'little') + b'c')
  CHECK(of_parts("ab", "c") == "43ee655579de01ca739b3f95c1c2d3f46d353b2c0df818064ea594506cdb2617");
}

TEST_CASE("a digest is written with as many digits as are asked for, 64 at most") {
  Sha256::Bytes digest{};
  for (std::size_t i = 0; i < digest.size(); ++i) digest[i] = static_cast<std::uint8_t>(0xa0 + i * 3);
  const auto whole = to_hex(digest);
  CHECK(whole == "a0a3a6a9acafb2b5b8bbbec1c4c7cacdd0d3d6d9dcdfe2e5e8ebeef1f4f7fafd");
  for (std::size_t digits = 0; digits <= 64; ++digits)
    CHECK(to_hex(digest, digits) == whole.substr(0, digits));
  CHECK(to_hex(digest, 1000) == whole);
}
