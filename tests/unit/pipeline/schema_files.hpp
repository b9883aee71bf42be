#pragma once
#include "support/temporary_folder.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace onceward::pipeline_test {

inline const std::filesystem::path source_folder = ONCEWARD_SOURCE_DIR;

/// Whether xmllint finds each of these files valid; empty where there is no xmllint here.
inline std::optional<bool> validates(const std::string& schema, const std::vector<std::string>& files) {
  if (std::system("xmllint --version >/dev/null 2>&1") != 0) return std::nullopt;
  std::string command = "xmllint --noout --schema '" + (source_folder / "docs" / schema).string() + "'";
  for (const auto& file : files) command += " '" + file + "'";
  return std::system((command + " >xmllint.log 2>&1").c_str()) == 0;
}

inline std::string write(const TemporaryFolder& folder, const std::string& name, const std::string& text) {
  const auto file = folder.file(name);
  std::ofstream(file, std::ios::binary) << text;
  return file;
}

}  // namespace onceward::pipeline_test
