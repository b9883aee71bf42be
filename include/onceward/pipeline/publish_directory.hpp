#pragma once
#include <onceward/pipeline/templates.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace onceward {

/// What became of one file.
struct PublishedFile {
  std::string file;
  Result<PublishReport> report;
  std::vector<Diagnostic> diagnostics{};
};

/// Publishes every *.xml file of a folder, not of those within it, by name; one that calls a pipeline of
/// another file comes after it. A file that is refused keeps no other one back. Nothing is activated, and
/// doing it again publishes what is new. Errors: invalid_argument (no folder that can be read, or more than
/// 10,000 files); those of the storage, after which the files before are published.
Result<std::vector<PublishedFile>> publish_directory(Templates& templates,
                                                     const std::filesystem::path& folder, const Operator& by);

}  // namespace onceward
