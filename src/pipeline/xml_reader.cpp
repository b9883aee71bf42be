#include "pipeline/xml_reader.hpp"

#include <onceward/core/timestamp.hpp>

#include "pipeline/suggest.hpp"
#include "pipeline/xml_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace onceward::pipeline_detail {
namespace {

template <class Number>
std::optional<Number> to_number(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// A number as XML Schema reads one: a '+' and blanks around it mean nothing.
template <class Number>
std::optional<Number> to_attribute_number(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
  text = text.substr(0, text.find_last_not_of(blanks) + 1);
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  return to_number<Number>(text);
}

std::optional<Duration> to_duration(std::string_view text) {
  static constexpr std::pair<std::string_view, std::int64_t> units[] = {
      {"us", 1},         {"ms", 1'000},        {"s", 1'000'000},
      {"m", 60'000'000}, {"h", 3'600'000'000}, {"d", 86'400'000'000}};
  const auto digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = to_number<std::int64_t>(text.substr(0, digits));
  if (!number) return std::nullopt;
  for (const auto& [unit, micros] : units) {
    if (text.substr(digits) == unit && *number <= limits::duration_us / micros)
      return Duration(*number * micros);
  }
  return std::nullopt;
}

/// Whether an '&' at the begin of `rest` begins a reference that means a character without any declaration.
bool begins_reference(std::string_view rest) {
  static constexpr std::array<std::string_view, 5> names = {"lt", "gt", "amp", "quot", "apos"};
  constexpr std::size_t longest = 12;
  const auto end = rest.substr(0, longest).find(';');
  if (end == std::string_view::npos) return false;
  const auto name = rest.substr(1, end - 1);
  if (!name.starts_with('#')) return std::find(names.begin(), names.end(), name) != names.end();
  const bool hex = name.starts_with("#x");
  const auto digits = name.substr(hex ? 2 : 1);
  std::uint32_t code = 0;
  const auto [stop, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), code, hex ? 16 : 10);
  if (error != std::errc() || stop != digits.data() + digits.size()) return false;
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  return code >= 0x20 ? code <= 0x10ffff && !surrogate : code == '\t' || code == '\n' || code == '\r';
}

constexpr std::string_view schema_instance = "http://www.w3.org/2001/XMLSchema-instance";

/// Attributes by which a document tells editors where its schema is.
bool says_schema(pugi::xml_node root, std::string_view attribute) {
  if (attribute == "xmlns" || attribute == "xmlns:xsi") return true;
  return root.attribute("xmlns:xsi") &&
         (attribute == "xsi:noNamespaceSchemaLocation" || attribute == "xsi:schemaLocation");
}

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";

}  // namespace

XmlReader::XmlReader(std::string_view text) : text_(text) {
  // A byte order mark is no part of the first line: no editor shows it.
  lines_.push_back(text.starts_with(byte_order_mark) ? byte_order_mark.size() : 0);
  for (std::size_t i = 0; i < std::min(text.size(), limits::xml_bytes); ++i) {
    if (text[i] == '\n') lines_.push_back(i + 1);
  }
}

SourcePlace XmlReader::place_of(std::size_t offset) const {
  offset = std::max(offset, lines_.front());
  const auto after = std::upper_bound(lines_.begin(), lines_.end(), offset);
  return {static_cast<int>(after - lines_.begin()), static_cast<int>(offset - *std::prev(after)) + 1};
}

SourcePlace XmlReader::place(pugi::xml_node node) const {
  const auto offset = node.offset_debug();
  return offset < 0 ? SourcePlace{}
                    : place_of(static_cast<std::size_t>(offset) - 1);  // the '<' before the name
}

SourcePlace XmlReader::place(pugi::xml_node node, const char* attribute) const {
  const auto offset = node.offset_debug();
  if (offset < 0) return {};
  // The parser keeps no place of an attribute: its name is looked for in the start tag, outside quotes.
  const std::string_view wanted = attribute;
  auto at = static_cast<std::size_t>(offset);
  for (char quote = 0; at < text_.size() && (quote != 0 || text_[at] != '>'); ++at) {
    if (quote != 0) {
      if (text_[at] == quote) quote = 0;
    } else if (text_[at] == '"' || text_[at] == '\'') {
      quote = text_[at];
    } else if (text_.substr(at).starts_with(wanted) &&
               std::string_view(" \t\r\n").find(text_[at - 1]) != std::string_view::npos &&
               std::string_view("= \t\r\n").find(text_[std::min(at + wanted.size(), text_.size() - 1)]) !=
                   std::string_view::npos) {
      return place_of(at);
    }
  }
  return place(node);
}

void XmlReader::report(const SourcePlace& place, std::string code, std::string message, std::string hint) {
  if (diagnostics_.size() >= limits::diagnostics) return;
  diagnostics_.push_back({std::move(code), std::move(message), std::move(hint), place.line, place.column});
}

void XmlReader::add_later(std::vector<Diagnostic> more) {
  // What an absent attribute would cause further on is no mistake of its own.
  std::erase_if(more, [&](const Diagnostic& later) {
    return std::any_of(diagnostics_.begin(), diagnostics_.end(), [&](const Diagnostic& first) {
      return first.code == "missing-attribute" && first.line == later.line && first.column == later.column;
    });
  });
  diagnostics_.insert(diagnostics_.end(), more.begin(), more.end());
  std::stable_sort(diagnostics_.begin(), diagnostics_.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
  diagnostics_.resize(std::min(diagnostics_.size(), limits::diagnostics));
}

/// Size, declarations and depth are checked on the text itself, before the parser builds anything, and so is
/// what the parser lets pass and XML does not: it would be read as something that its author never wrote.
bool XmlReader::check_text() {
  if (text_.size() > limits::xml_bytes) {
    report({}, "too-large",
           fmt::format("the text has {} bytes, at most {} are allowed", text_.size(), limits::xml_bytes));
    return false;
  }
  if (!check_characters()) return false;
  std::size_t depth = 0;
  bool ended = false;  // the root element
  std::size_t done = lines_.front();
  for (std::size_t at = text_.find('<', done); at != std::string_view::npos; at = text_.find('<', done)) {
    const auto rest = text_.substr(at);
    if (depth == 0) check_outside(done, at);
    if (rest.starts_with("<!--") || rest.starts_with("<![CDATA[")) {
      const std::string_view closing = rest[2] == '-' ? "-->" : "]]>";
      constexpr std::size_t opening = 4;
      const auto end = text_.find(closing, at + opening);
      if (end == std::string_view::npos) return true;  // the parser says what is wrong
      // With the first '-' of its end a comment has no "--" in it.
      const auto dashes = rest.find("--", opening);
      if (closing == "-->" && at + dashes < end)
        report(place_of(at + dashes), "malformed", "a comment has \"--\" in it",
               "write one '-', or another sign");
      done = end + closing.size();
    } else if (rest.starts_with("<!")) {
      report(place_of(at), "declaration", "DOCTYPE and entity declarations are not allowed", "remove it");
      return false;
    } else if (rest.starts_with("</") || rest.starts_with("<?")) {
      if (rest[1] == '/' && depth > 0) ended = --depth == 0;
      done = std::min(text_.find('>', at), text_.size() - 1) + 1;
    } else {
      if (ended) check_outside(at, at + 1);
      const auto end = check_start_tag(at);
      if (end < text_.size() && text_[end - 1] != '/' && ++depth > limits::xml_depth) {
        report(place_of(at), "too-deep",
               fmt::format("elements are nested deeper than {}", limits::xml_depth));
        return false;
      }
      ended = ended || depth == 0;
      done = std::min(end, text_.size() - 1) + 1;
    }
  }
  if (ended) check_outside(done, text_.size());
  return true;
}

bool XmlReader::check_characters() {
  const auto bad = first_not_xml(text_);
  if (bad == std::string_view::npos) return true;
  report(place_of(bad), "malformed", "this byte is no UTF-8 text", "save the file as UTF-8");
  return false;
}

/// Gives the place of the '>' that ends the start tag; the end of the text where it has none.
std::size_t XmlReader::check_start_tag(std::size_t at) {
  char quote = 0;
  for (; at < text_.size() && (quote != 0 || text_[at] != '>'); ++at) {
    const char c = text_[at];
    if (quote == 0) {
      if (c == '"' || c == '\'') quote = c;
    } else if (c == quote) {
      quote = 0;
    } else if (c == '<') {
      malformed_once(at, "a '<' within an attribute", "write &lt;, or close the quote before it");
    } else if (c == '&' && !begins_reference(text_.substr(at))) {
      report(place_of(at), "malformed", "an '&' that begins no character XML knows", "write &amp;");
    }
  }
  return at;
}

/// Before and after the root element there is nothing but comments.
void XmlReader::check_outside(std::size_t begin, std::size_t end) {
  const auto found = text_.find_first_not_of(" \t\r\n", begin);
  if (found < end) malformed_once(found, "something stands outside of the root element", "remove it");
}

/// For mistakes that make others of their kind: only the first of them is worth a line.
void XmlReader::malformed_once(std::size_t offset, std::string_view message, std::string hint) {
  const bool told = std::any_of(diagnostics_.begin(), diagnostics_.end(),
                                [&](const Diagnostic& known) { return known.message == message; });
  if (!told) report(place_of(offset), "malformed", std::string(message), std::move(hint));
}

pugi::xml_node XmlReader::root(std::string_view name) {
  if (!check_text()) return {};
  const auto parsed = document_.load_buffer(
      text_.data(), text_.size(), pugi::parse_default | pugi::parse_ws_pcdata_single, pugi::encoding_utf8);
  if (!parsed) {
    const auto offset =
        std::min(static_cast<std::size_t>(std::max<std::ptrdiff_t>(parsed.offset, 0)), text_.size());
    report(place_of(offset), "malformed", fmt::format("this is no well-formed XML: {}", parsed.description()),
           "see the element before this place");
    return {};
  }
  const auto root = document_.document_element();
  if (root.name() != name) {
    report(place(root), "wrong-root", fmt::format("the root element is <{}>", root.name()),
           fmt::format("it must be <{}>", name));
    return {};
  }
  const std::string space = root.attribute("xmlns").value();
  if (!space.empty() && space != "urn:onceward:1") {
    report(place(root, "xmlns"), "wrong-namespace", fmt::format("the namespace is \"{}\"", space),
           "it must be urn:onceward:1");
  }
  if (const auto prefix = root.attribute("xmlns:xsi"); prefix && prefix.value() != schema_instance) {
    report(place(root, "xmlns:xsi"), "wrong-namespace", fmt::format("xsi is \"{}\"", prefix.value()),
           fmt::format("it must be {}", schema_instance));
  }
  return root;
}

void XmlReader::allow(pugi::xml_node node, std::span<const std::string_view> attributes,
                      std::span<const std::string_view> children) {
  std::vector<std::string_view> seen;
  for (const auto attribute : node.attributes()) {
    // A place is looked for in the text: for a report that is full it would be in vain.
    if (diagnostics_.size() >= limits::diagnostics) return;
    const std::string_view name = attribute.name();
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
      report(place(node), "duplicate-attribute", fmt::format("<{}> has \"{}\" twice", node.name(), name));
    }
    seen.push_back(name);
    const auto root = document_.document_element();
    if (node == root && says_schema(node, name)) continue;
    if (name == "xmlns" && attribute.value() == std::string_view(root.attribute("xmlns").value())) continue;
    if (std::find(attributes.begin(), attributes.end(), name) == attributes.end()) {
      report(place(node, attribute.name()), "unknown-attribute",
             fmt::format("<{}> has no attribute \"{}\"", node.name(), name), did_you_mean(name, attributes));
    }
  }
  for (const auto child : node.children()) {
    if (diagnostics_.size() >= limits::diagnostics) return;
    if (child.type() == pugi::node_element) {
      const std::string_view name = child.name();
      if (std::find(children.begin(), children.end(), name) == children.end()) {
        report(place(child), "unknown-element", fmt::format("<{}> has no element <{}>", node.name(), name),
               did_you_mean(name, children));
      }
    } else if (child.type() == pugi::node_cdata ||
               (child.type() == pugi::node_pcdata &&
                std::string_view(child.value()).find_first_not_of(" \t\r\n") != std::string_view::npos)) {
      report(place(node), "stray-text", fmt::format("there is text within <{}>", node.name()),
             "values belong in attributes");
    }
  }
}

std::string XmlReader::required(pugi::xml_node node, const char* name) {
  const auto attribute = node.attribute(name);
  if (!attribute || *attribute.value() == '\0') {
    report(place(node), "missing-attribute", fmt::format("<{}> needs \"{}\"", node.name(), name));
  }
  return attribute.value();
}

std::string XmlReader::optional(pugi::xml_node node, const char* name, std::string_view otherwise) {
  const auto attribute = node.attribute(name);
  return attribute ? attribute.value() : std::string(otherwise);
}

std::string XmlReader::expression(pugi::xml_node node, const char* name) {
  auto text = optional(node, name);
  if (node.attribute(name) && text.find_first_not_of(" \t\r\n") == std::string::npos) {
    bad_value(node, name, "an expression, or leave it out");
    text.clear();
  }
  return text;
}

void XmlReader::bad_value(pugi::xml_node node, const char* name, std::string_view wanted) {
  report(place(node, name), "bad-value",
         fmt::format("{}=\"{}\" of <{}>", name, node.attribute(name).value(), node.name()),
         fmt::format("write {}", wanted));
}

std::int64_t XmlReader::integer(pugi::xml_node node, const char* name, std::int64_t otherwise, bool needed) {
  if (needed && required(node, name).empty()) return otherwise;
  if (!node.attribute(name)) return otherwise;
  const auto number = to_attribute_number<std::int64_t>(node.attribute(name).value());
  if (!number) bad_value(node, name, "a whole number");
  return number.value_or(otherwise);
}

double XmlReader::real(pugi::xml_node node, const char* name, double otherwise) {
  if (!node.attribute(name)) return otherwise;
  const auto number = to_attribute_number<double>(node.attribute(name).value());
  if (!number) bad_value(node, name, "a number");
  return number.value_or(otherwise);
}

bool XmlReader::boolean(pugi::xml_node node, const char* name, bool otherwise) {
  static constexpr std::string_view words[] = {"false", "true"};
  return word(node, name, words, otherwise ? 1 : 0) == 1;
}

Duration XmlReader::duration(pugi::xml_node node, const char* name, Duration otherwise, Duration least) {
  if (!node.attribute(name)) return otherwise;
  const auto duration = to_duration(node.attribute(name).value());
  if (!duration || *duration < least) bad_value(node, name, "a duration: 200ms, 5s, 3m, 2h or 1d");
  return duration.value_or(otherwise);
}

std::optional<Timestamp> XmlReader::timestamp(pugi::xml_node node, const char* name) {
  if (!node.attribute(name)) return std::nullopt;
  const auto time = parse_timestamp(node.attribute(name).value());
  if (!time) bad_value(node, name, "a time: 2011-01-01T00:00:00Z");
  return time;
}

std::size_t XmlReader::word(pugi::xml_node node, const char* name, std::span<const std::string_view> words,
                            std::size_t otherwise) {
  const auto attribute = node.attribute(name);
  if (!attribute) return otherwise;
  const auto found = std::find(words.begin(), words.end(), std::string_view(attribute.value()));
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  bad_value(node, name, fmt::format("one of {}", fmt::join(words, ", ")));
  return otherwise;
}

}  // namespace onceward::pipeline_detail
