#include "configs/yaml_node.h"

#include "configs/nearest.h"
#include "configs/scalar_text.h"

namespace cltrain {

std::string write_flow(const YamlNode& node) {
  std::vector<std::string> parts;
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "null";
    case YamlNode::Kind::kScalar:
      return node.quoted ? write_string(node.text) : node.text;
    case YamlNode::Kind::kList:
      for (const YamlNode& item : node.items) parts.push_back(write_flow(item));
      return "[" + join(parts) + "]";
    case YamlNode::Kind::kMap:
      for (const YamlEntry& entry : node.entries) {
        parts.push_back(entry.key + ": " + write_flow(entry.value));
      }
      return "{" + join(parts) + "}";
  }
  return "";
}

std::string describe_for_message(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "nothing (null)";
    case YamlNode::Kind::kScalar:
      return quote_for_message(node.text);
    case YamlNode::Kind::kList:
      return "a list";
    case YamlNode::Kind::kMap:
      return "a map";
  }
  return "";
}

}  // namespace cltrain
