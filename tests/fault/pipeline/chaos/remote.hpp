#pragma once
#include "books.hpp"

#include <onceward/pipeline/step.hpp>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace chaos {

/// What the steps of a worker do wrong, to prove that the checker sees it.
enum class Broken : std::uint8_t {
  nothing,
  tokens,  ///< the attempt is part of the token
  undo,    ///< an undo is said to be done and never sent
};

/// A client of the downstream, for any thread. A call takes a connection of its own; one that got no answer
/// is not used again.
class Remote {
 public:
  explicit Remote(std::string socket_path) : path_(std::move(socket_path)) {}
  ~Remote();
  Remote(const Remote&) = delete;
  Remote& operator=(const Remote&) = delete;

  /// The answer's line; empty where none came in time.
  std::string ask(const Request& request);

 private:
  int connect() const;

  std::string path_;
  std::mutex mutex_;
  std::vector<int> idle_;
};

/// "book@1".
[[nodiscard]] std::unique_ptr<onceward::Step> book_step(Remote& remote, Broken broken);

}  // namespace chaos
