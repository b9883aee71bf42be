#pragma once
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace chaos {

/// What a step asks of the downstream. A line of text, so that it can cross a socket.
struct Request {
  bool undo = false;
  std::string token;
  std::string done_token{};  ///< undo: of what is undone
  std::string run;
  std::string path;
  std::int64_t amount = 0;
  std::int64_t reference = 0;  ///< a receipt of an earlier step, or 0. undo: the receipt of what is undone
  bool reject = false;

  [[nodiscard]] std::string line() const;
  /// Throws std::invalid_argument.
  static Request parse(std::string_view line);
};

/// An effect that took place.
struct Effect {
  bool undo = false;
  bool nothing = false;  ///< an undo of what never took place: it will not any more
  std::string run;
  std::string path;
  std::string token;
  std::int64_t amount = 0;
  std::int64_t reference = 0;
  std::int64_t receipt = 0;  ///< from 1, in the order of the effects
};

struct Answer {
  enum class Kind : std::uint8_t { ok, rejected, wrong };
  Kind kind = Kind::ok;
  std::int64_t receipt = 0;
};

/// The downstream's books: one effect for each token. They judge nothing: two tokens are two effects, whoever
/// sent them. An undo of what never came closes its token for good.
class Books {
 public:
  Answer take(const Request& request);

  [[nodiscard]] const std::vector<Effect>& effects() const noexcept { return effects_; }
  /// Requests that no correct client sends, in words.
  [[nodiscard]] const std::vector<std::string>& complaints() const noexcept { return complaints_; }
  [[nodiscard]] std::size_t repeated() const noexcept { return repeated_; }

 private:
  Answer add(const Request& request, bool nothing);
  Answer complain(const Request& request, std::string_view what);

  std::vector<Effect> effects_;
  std::map<std::string, std::size_t, std::less<>> by_token_;
  std::set<std::string, std::less<>> closed_;  ///< tokens whose undo came first
  std::vector<std::string> complaints_;
  std::size_t repeated_ = 0;
};

}  // namespace chaos
