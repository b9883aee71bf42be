#pragma once
#include "broken_storage.hpp"
#include "effects.hpp"

#include <memory>
#include <string>

namespace torture {

/// What a process needs to know to make calls.
struct Place {
  std::string folder;    ///< of the histories and of the SQLite files
  std::string url;       ///< of the storage that guards
  int mariadb_port = 0;  ///< of the enlisted transactions; 0: they are SQLite's
  Broken broken = Broken::nothing;

  [[nodiscard]] std::string fenced_file() const { return folder + "/fenced.db"; }
  [[nodiscard]] std::string history_file(const std::string& process) const {
    return folder + "/history-" + process;
  }
  [[nodiscard]] std::unique_ptr<Rows> rows() const {
    return mariadb_port == 0 ? sqlite_rows(folder + "/rows.db") : mariadb_rows(mariadb_port);
  }
};

/// Blocks SIGTERM in this thread and in the processes it starts, or lets it through: a worker that is told to
/// end before it can hear it hears it later.
void block_sigterm(bool block);

/// Makes random calls until SIGTERM, in two threads; then ends with 0. The body of a worker process.
int work(const Place& place, const std::string& process, unsigned seed);

}  // namespace torture
