#pragma once
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <stdexcept>
#include <string>
#include <vector>

/// A program that runs beside the test and dies with it.
class ChildProcess {
 public:
  explicit ChildProcess(const std::vector<std::string>& words) {
    std::vector<char*> arguments;
    for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("fork failed");
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::signal(SIGXFSZ, SIG_IGN);  // as on a full disk, a write over the limit fails instead of killing
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
  }
  ~ChildProcess() { end(SIGKILL); }
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  void signal(int number) const {
    if (pid_ > 0) ::kill(pid_, number);
  }
  /// Sends the signal and waits for its end; gives the status of waitpid.
  int end(int number) {
    if (pid_ <= 0) return status_;
    ::kill(pid_, number);
    ::waitpid(pid_, &status_, 0);
    pid_ = -1;
    return status_;
  }
  /// Lets its files grow to so many bytes, as a full disk would; RLIM_INFINITY ends that.
  void limit_files(rlim_t bytes) const {
    rlimit limits{};
    if (::prlimit(pid_, RLIMIT_FSIZE, nullptr, &limits) != 0) throw std::runtime_error("no limits to read");
    limits.rlim_cur = std::min(bytes, limits.rlim_max);
    if (::prlimit(pid_, RLIMIT_FSIZE, &limits, nullptr) != 0) throw std::runtime_error("no limit can be set");
  }
  /// Whether it still runs.
  [[nodiscard]] bool runs() {
    if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
    return pid_ > 0;
  }
  /// The exit code of a program that has ended.
  [[nodiscard]] int exit_code() const noexcept { return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1; }

 private:
  pid_t pid_ = -1;
  int status_ = 0;
};
