#include "files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <vector>

namespace loyalty {
namespace {

using onceward::ErrorCode;
using onceward::fail;
using onceward::Result;

constexpr std::size_t copy_bytes = std::size_t{1} << 18;

std::string folder_of(const std::string& path) {
  auto folder = std::filesystem::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

Result<std::size_t> read_some(int descriptor, std::span<char> buffer, const std::string& name) {
  for (;;) {
    const auto got = ::read(descriptor, buffer.data(), buffer.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return fail(system_error("cannot read", name, errno));
  }
}

/// A nameless file in the folder for temporary ones, gone with its last descriptor.
Result<FileHandle> make_temporary() {
  std::error_code ignored;
  auto pattern = (std::filesystem::temp_directory_path(ignored) / "loyalty-XXXXXX").string();
  FileHandle handle(::mkstemp(pattern.data()));
  if (handle.get() < 0) return fail(system_error("cannot make a temporary file", pattern, errno));
  ::unlink(pattern.c_str());
  return handle;
}

Result<FileHandle> copy_to_temporary(int from, const std::string& name) {
  auto to = make_temporary();
  if (!to) return to;
  std::vector<char> buffer(copy_bytes);
  for (;;) {
    const auto got = read_some(from, buffer, name);
    if (!got) return fail(got.error());
    if (*got == 0) return to;
    for (std::size_t done = 0; done < *got;) {
      const auto put = ::write(to->get(), buffer.data() + done, *got - done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return fail(system_error("cannot keep a copy of", name, errno));
      done += static_cast<std::size_t>(put);
    }
  }
}

}  // namespace

FileHandle::~FileHandle() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

onceward::Error system_error(const std::string& doing, const std::string& path, int number) {
  const auto code = number == ENOENT ? ErrorCode::not_found : ErrorCode::unavailable;
  return {code, fmt::format("{} {}: {}", doing, path, std::generic_category().message(number)), number};
}

Result<InputFile> InputFile::open(const std::string& path) {
  const bool standard = path == "-";
  const std::string name = standard ? "(standard input)" : path;
  FileHandle handle(standard ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (handle.get() < 0) return fail(system_error("cannot read", name, errno));
  struct stat status {};
  if (::fstat(handle.get(), &status) != 0) return fail(system_error("cannot read", name, errno));
  if (S_ISDIR(status.st_mode)) return fail(system_error("cannot read", name, EISDIR));
  if (standard || !S_ISREG(status.st_mode)) {
    auto copy = copy_to_temporary(handle.get(), name);
    if (!copy) return fail(std::move(copy).error());
    handle = std::move(*copy);
    if (::fstat(handle.get(), &status) != 0) return fail(system_error("cannot read", name, errno));
  }
  InputFile file(std::move(handle), name);
  file.size_ = static_cast<std::uint64_t>(status.st_size);
  return file;
}

Result<std::size_t> InputFile::read(std::span<char> buffer, std::uint64_t offset) const {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const auto got =
        ::pread(handle_.get(), buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(system_error("cannot read", name_, errno));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

Result<std::string> read_text(const std::string& path, std::size_t most_bytes) {
  const auto file = InputFile::open(path);
  if (!file) return fail(file.error());
  if (file->size() > most_bytes) {
    return fail(ErrorCode::limit_exceeded,
                fmt::format("{} has {} bytes; {} are allowed", path, file->size(), most_bytes));
  }
  std::string text(static_cast<std::size_t>(file->size()), '\0');
  const auto got = file->read(text, 0);
  if (!got) return fail(got.error());
  text.resize(*got);
  return text;
}

Result<void> check_writable(const std::string& path, const std::string& what) {
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0) {
    if (!S_ISREG(status.st_mode)) {
      return fail(ErrorCode::unavailable,
                  fmt::format("{} {} is no regular file; name another one", what, path));
    }
    if ((status.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) == 0 || ::access(path.c_str(), W_OK) != 0) {
      return fail(
          ErrorCode::unavailable,
          fmt::format("{} {} is read-only; make it writable (chmod u+w) or name another one", what, path));
    }
  }
  const auto folder = folder_of(path);
  if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::unavailable,
                fmt::format("{} {}: there is no folder {}; make it first", what, path, folder));
  }
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    return fail(ErrorCode::unavailable, fmt::format("{} {}: the folder {} is read-only", what, path, folder));
  }
  return {};
}

bool same_file(const std::string& one, const std::string& other) noexcept {
  struct stat first {};
  struct stat second {};
  return ::stat(one.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

bool same_path(const std::string& one, const std::string& other) {
  namespace fs = std::filesystem;
  if (same_file(one, other)) return true;
  std::error_code failed;
  const auto first = fs::weakly_canonical(fs::absolute(one, failed), failed);
  return !failed && first == fs::weakly_canonical(fs::absolute(other, failed), failed) && !failed;
}

}  // namespace loyalty
