#pragma once
#include <onceward/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace loyalty {

/// A file descriptor that is closed with the object.
class FileHandle {
 public:
  explicit FileHandle(int descriptor = -1) noexcept : descriptor_(descriptor) {}
  FileHandle(FileHandle&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileHandle& operator=(FileHandle&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileHandle();
  [[nodiscard]] int get() const noexcept { return descriptor_; }

 private:
  int descriptor_;
};

/// A file that can be read twice. A pipe, or the standard input, is first copied to a temporary file, so that
/// all of it can be checked before anything is done with it.
class InputFile {
 public:
  /// `path` is "-" for the standard input. Errors: not_found, unavailable; the message names the file.
  static onceward::Result<InputFile> open(const std::string& path);

  /// Fills `buffer` from `offset`; fewer bytes only at the end of the file. Errors: unavailable.
  onceward::Result<std::size_t> read(std::span<char> buffer, std::uint64_t offset) const;
  /// The name for messages.
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

 private:
  InputFile(FileHandle handle, std::string name) : handle_(std::move(handle)), name_(std::move(name)) {}

  FileHandle handle_;
  std::string name_;
  std::uint64_t size_ = 0;
};

/// All of a small file. Errors: as InputFile::open; limit_exceeded beyond `most_bytes`.
onceward::Result<std::string> read_text(const std::string& path, std::size_t most_bytes);

/// That a file may be written, or made where there is none: its folder is there, it is a regular file, and
/// somebody may write it (a file without any write permission is left alone, even where the superuser could
/// write it). `what` names it in messages. Errors: unavailable.
onceward::Result<void> check_writable(const std::string& path, const std::string& what);

/// True where both names lead to one existing file.
[[nodiscard]] bool same_file(const std::string& one, const std::string& other) noexcept;

/// True where both names lead to one file, also to one that is still to be made.
[[nodiscard]] bool same_path(const std::string& one, const std::string& other);

/// "cannot read orders.csv: No such file or directory", with errno as the native code.
[[nodiscard]] onceward::Error system_error(const std::string& doing, const std::string& path, int number);

}  // namespace loyalty
