#pragma once
#include "support/catch.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/wait.h>
#include <unistd.h>

/// What the tests of guards in several processes share.
namespace fault {

struct Folder {
  std::filesystem::path path;
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "onceward-guard-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder for the test");
    path = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string file(std::string_view name) const { return (path / name).string(); }
};

/// Runs `work` in a process of its own; an exception there ends it with a failure.
template <class Work>
pid_t start(const Work& work) {
  const auto child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    try {
      work();
    } catch (...) {
      _exit(1);
    }
    _exit(0);
  }
  return child;
}

/// Waits for a process. True where it killed itself with SIGKILL, false where it ended well.
inline bool was_killed(pid_t child) {
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  if (WIFSIGNALED(status)) {
    REQUIRE(WTERMSIG(status) == SIGKILL);
    return true;
  }
  REQUIRE(WEXITSTATUS(status) == 0);
  return false;
}

/// Adds a line in one write, so that the lines of several processes never mix.
inline void add_line(const std::string& file, std::string_view line) {
  std::ofstream(file, std::ios::app) << std::string(line) + "\n" << std::flush;
}

inline int lines_of(const std::string& file, std::string_view wanted) {
  int count = 0;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) count += line == wanted ? 1 : 0;
  return count;
}

}  // namespace fault
