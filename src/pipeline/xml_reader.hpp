#pragma once
#include <onceward/core/clock.hpp>
#include <onceward/pipeline/plan.hpp>

#include <pugixml.hpp>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace onceward::pipeline_detail {

/// Reads definitions from XML: knows the line and column of everything and gathers every mistake.
/// Refuses DOCTYPE and entity declarations, and more than limits::xml_bytes and limits::xml_depth.
class XmlReader {
 public:
  explicit XmlReader(std::string_view text);

  /// The root element; empty where the text does not parse or its root is another one (diagnostics say why).
  pugi::xml_node root(std::string_view name);

  /// Reports every attribute and child element of `node` that is not named here, and text between elements.
  void allow(pugi::xml_node node, std::span<const std::string_view> attributes,
             std::span<const std::string_view> children);

  /// The attribute's text; reports it where it is missing and has no default.
  std::string required(pugi::xml_node node, const char* name);
  std::string optional(pugi::xml_node node, const char* name, std::string_view otherwise = {});
  /// An expression that may be absent, and then means something else; reports one that is there and empty.
  std::string expression(pugi::xml_node node, const char* name);
  std::int64_t integer(pugi::xml_node node, const char* name, std::int64_t otherwise, bool needed = false);
  double real(pugi::xml_node node, const char* name, double otherwise);
  bool boolean(pugi::xml_node node, const char* name, bool otherwise);
  Duration duration(pugi::xml_node node, const char* name, Duration otherwise,
                    Duration least = {});  ///< "200ms", "5s", "3m", "2h", "1d"
  std::optional<Timestamp> timestamp(pugi::xml_node node, const char* name);  ///< RFC 3339
  /// The place of the attribute's text among `words`; reports any other.
  std::size_t word(pugi::xml_node node, const char* name, std::span<const std::string_view> words,
                   std::size_t otherwise);

  [[nodiscard]] SourcePlace place(pugi::xml_node node) const;
  [[nodiscard]] SourcePlace place(pugi::xml_node node, const char* attribute) const;
  void report(const SourcePlace& place, std::string code, std::string message, std::string hint = {});
  /// Adds the mistakes of the definition that was read, and orders all of them by place.
  void add_later(std::vector<Diagnostic> more);
  [[nodiscard]] std::vector<Diagnostic>& diagnostics() noexcept { return diagnostics_; }

 private:
  [[nodiscard]] SourcePlace place_of(std::size_t offset) const;
  bool check_text();
  bool check_characters();
  std::size_t check_start_tag(std::size_t at);
  void check_outside(std::size_t begin, std::size_t end);
  void malformed_once(std::size_t offset, std::string_view message, std::string hint);
  void bad_value(pugi::xml_node node, const char* name, std::string_view wanted);

  std::string_view text_;
  std::vector<std::size_t> lines_;  ///< offset at which each line begins
  pugi::xml_document document_;
  std::vector<Diagnostic> diagnostics_;
};

/// Reads a <pipeline> element.
PipelineDefinition read_pipeline(XmlReader& reader, pugi::xml_node node);
/// Appends the <pipeline> element of a definition, indented by so many spaces.
void write_pipeline(const PipelineDefinition& definition, std::size_t indent, std::string& out);
/// Text as the value of an attribute, with quotes.
void write_attribute(std::string_view name, std::string_view value, std::string& out);

}  // namespace onceward::pipeline_detail
