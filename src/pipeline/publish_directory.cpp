#include <onceward/pipeline/publish_directory.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

namespace onceward {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_files = 10'000;

Result<std::vector<fs::path>> files_of(const fs::path& folder) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    if (entry->path().extension() == ".xml" && entry->is_regular_file()) files.push_back(entry->path());
    if (files.size() > most_files)
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{}: more than {} files", folder.string(), most_files));
  }
  if (error)
    return fail(ErrorCode::invalid_argument,
                fmt::format("{}: {}; name a folder that can be read", folder.string(), error.message()));
  std::sort(files.begin(), files.end());
  return files;
}

Result<std::string> text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  // One byte more than publish takes is enough for it to say so.
  std::string text(limits::value_bytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || !file.is_open())
    return fail(ErrorCode::invalid_argument, fmt::format("{}: it cannot be read", path.string()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

/// Whether another file may be what is missing.
bool misses_a_pipeline(const PublishedFile& file) {
  return std::any_of(file.diagnostics.begin(), file.diagnostics.end(),
                     [](const Diagnostic& one) { return one.code == "unknown-pipeline"; });
}

}  // namespace

Result<std::vector<PublishedFile>> publish_directory(Templates& templates, const fs::path& folder,
                                                     const Operator& by) {
  const auto files = files_of(folder);
  if (!files) return fail(files.error());
  std::vector<PublishedFile> done;
  for (const auto& path : *files)
    done.push_back({path.string(), fail(ErrorCode::not_found, "not tried yet"), {}});
  std::vector<PublishedFile*> open;
  for (auto& one : done) open.push_back(&one);
  // Those that call what is not there are tried again for as long as that brings others in.
  for (std::size_t before = open.size() + 1; !open.empty() && open.size() < before;) {
    before = open.size();
    for (auto* one : open) {
      const auto text = text_of(one->file);
      one->diagnostics.clear();
      one->report =
          text ? templates.publish(*text, fs::path(one->file).filename().string(), by, &one->diagnostics)
               : Result<PublishReport>(fail(text.error()));
      if (!one->report && retry_advice(one->report.error().code) != RetryAdvice::give_up)
        return fail(one->report.error());
    }
    std::erase_if(open, [](const PublishedFile* one) { return one->report || !misses_a_pipeline(*one); });
  }
  return done;
}

}  // namespace onceward
