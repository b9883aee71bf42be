#include "ledger.hpp"

#include "files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>

namespace loyalty {
namespace {

using onceward::fail;
using onceward::Result;

constexpr std::size_t flush_bytes = std::size_t{1} << 16;

/// Gathers text and writes it in large pieces.
class Output {
 public:
  explicit Output(std::string path) : path_(std::move(path)) {}

  Result<void> open() {
    handle_ = FileHandle(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (handle_.get() < 0) return fail(system_error("cannot write", path_, errno));
    return {};
  }
  std::string& text() noexcept { return text_; }
  Result<void> write_if_large() { return text_.size() < flush_bytes ? Result<void>{} : write(); }
  Result<void> write() {
    for (std::size_t done = 0; done < text_.size();) {
      const auto put = ::write(handle_.get(), text_.data() + done, text_.size() - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return fail(system_error("cannot write", path_, errno));
      done += static_cast<std::size_t>(put);
    }
    text_.clear();
    return {};
  }
  Result<void> sync() {
    if (::fsync(handle_.get()) != 0) return fail(system_error("cannot write", path_, errno));
    return {};
  }

 private:
  std::string path_;
  FileHandle handle_;
  std::string text_;
};

void append_field(std::string& out, std::string_view field) {
  if (field.find_first_of(",\"\r\n") == std::string_view::npos) {
    out += field;
    return;
  }
  out += '"';
  for (const char c : field) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

void append_line(std::string& out, const Effect& effect) {
  append_field(out, effect.user);
  out += ',';
  append_field(out, effect.task);
  out += ',';
  append_field(out, effect.cycle);
  fmt::format_to(std::back_inserter(out), ",{},", effect.stage);
  append_field(out, effect.step);
  out += ',';
  append_field(out, effect.value);
  out += '\n';
}

/// Makes a rename last, where the file system lets folders be synced.
void sync_folder(const std::string& path) {
  auto folder = std::filesystem::path(path).parent_path();
  const FileHandle handle(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (handle.get() >= 0) ::fsync(handle.get());
}

Result<void> write_lines(Business& business, Output& output) {
  if (auto opened = output.open(); !opened) return opened;
  output.text() = "user,task,cycle,stage,step,value\n";
  auto listed = business.each_sorted([&](const Effect& effect) {
    append_line(output.text(), effect);
    return output.write_if_large();
  });
  if (!listed) return listed;
  if (auto written = output.write(); !written) return written;
  return output.sync();
}

}  // namespace

Result<void> write_ledger(Business& business, const std::string& path, CrashPoints& points) {
  points.reached(CrashPoint::ledger_before);
  const std::string partial = path + ".partial";
  Output output(partial);
  if (auto written = write_lines(business, output); !written) return written;
  points.reached(CrashPoint::ledger_written);
  if (std::rename(partial.c_str(), path.c_str()) != 0) {
    return fail(system_error("cannot write", path, errno));
  }
  points.reached(CrashPoint::ledger_renamed);
  sync_folder(path);
  return {};
}

}  // namespace loyalty
