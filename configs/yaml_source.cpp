#include "configs/yaml_source.h"

#include "configs/scalar_text.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <sstream>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

namespace cltrain {
namespace {

constexpr size_t kLongestText = 256 << 10;
constexpr size_t kDeepest = 32;
constexpr size_t kLargestTree = 1 << 20;  // bytes of scalars plus nodes, aliases expanded

Place place_of(const YAML::Mark& mark, const Place& origin) {
  Place place = origin;
  if (origin.column != 0 && !mark.is_null()) {
    place.line = mark.line + 1;
    place.column = mark.column + 1;
  }
  return place;
}

size_t weight(const YamlNode& node) {
  size_t sum = 1 + node.text.size();
  for (const YamlNode& item : node.items) sum += weight(item);
  for (const YamlEntry& entry : node.entries) sum += entry.key.size() + weight(entry.value);
  return sum;
}

// Builds the tree from yaml-cpp's events. Mistakes after which the rest still makes sense are added
// to the list; the others end the parse as a ParserException.
class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const Place& origin, std::string_view key, Mistakes& mistakes)
      : origin_(origin), key_(key), mistakes_(mistakes) {
    root_.place = origin;
  }

  YamlNode take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) {
      throw YAML::ParserException(mark, "a second document; a config is one, without --- inside");
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    // yaml-cpp takes a line `key` without a colon for `key:`, but gives its null the key's
    // position.
    const bool is_value = !open_.empty() && open_.back().is_block_map && open_.back().has_key;
    if (is_value && mark.pos == last_scalar_) {
      mistakes_.add(place_of(mark, origin_), open_keys(), "stands alone; write `key: value`");
    }
    begin(YamlNode::Kind::kNull, mark, anchor);
    end();
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_tag(mark, tag);
    YamlNode& node = begin(YamlNode::Kind::kScalar, mark, anchor);
    node.text = value;
    node.quoted = tag == "!";
    count(mark, value.size());
    last_scalar_ = mark.pos;
    end();
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    refuse_tag(mark, tag);
    begin(YamlNode::Kind::kList, mark, anchor);
  }
  void OnSequenceEnd() override { end(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value style) override {
    refuse_tag(mark, tag);
    begin(YamlNode::Kind::kMap, mark, anchor);
    open_.back().is_block_map = style == YAML::EmitterStyle::Block;
  }
  void OnMapEnd() override { end(); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      throw YAML::ParserException(mark, "the alias stands inside the map or list that it names");
    }
    count(mark, weight(found->second));
    add_to_parent(YamlNode(found->second), place_of(mark, origin_));
  }

 private:
  // An open map or list (or a scalar for a moment).
  struct Frame {
    YamlNode node;
    YAML::anchor_t anchor = 0;
    bool is_block_map = false;
    bool has_key = false;  // of a map: the key was read, its value comes next
    bool key_usable = true;
    std::string key = {};
    Place key_place = {};
    std::map<std::string, Place> keys = {};  // all so far
  };

  void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    // "?" and "!" are yaml-cpp's marks of a bare and of a quoted scalar without a tag.
    if (tag.empty() || tag == "?" || tag == "!") return;
    mistakes_.add(place_of(mark, origin_), key_,
                  "has the tag " + quote_for_message(tag) +
                      "; remove it: the type of a value comes from its option");
  }

  void count(const YAML::Mark& mark, size_t added) {
    size_ += added;
    if (size_ > kLargestTree) {
      throw YAML::ParserException(mark, "the aliases expand to more than a config can hold");
    }
  }

  YamlNode& begin(YamlNode::Kind kind, const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (open_.size() >= kDeepest) {
      throw YAML::ParserException(
          mark, "nested deeper than " + std::to_string(kDeepest) + " levels; a config needs few");
    }
    count(mark, 1);
    Frame frame;
    frame.node.kind = kind;
    frame.node.place = place_of(mark, origin_);
    frame.anchor = anchor;
    open_.push_back(std::move(frame));
    return open_.back().node;
  }

  void end() {
    Frame frame = std::move(open_.back());
    open_.pop_back();
    if (frame.anchor != 0) anchors_[frame.anchor] = frame.node;
    const Place place = frame.node.place;
    add_to_parent(std::move(frame.node), place);
  }

  void add_to_parent(YamlNode node, const Place& place) {
    if (open_.empty()) {
      root_ = std::move(node);
    } else if (open_.back().node.is_list()) {
      open_.back().node.items.push_back(std::move(node));
    } else if (!open_.back().has_key) {
      take_key(open_.back(), node, place);
    } else {
      take_value(open_.back(), std::move(node));
    }
  }

  void take_key(Frame& map, const YamlNode& node, const Place& place) {
    map.has_key = true;
    map.key_usable = false;
    map.key = node.text;
    map.key_place = place;
    if (!node.is_scalar() || node.text.empty()) {
      mistakes_.add(place, key_, "a key must be a word; received " + describe_for_message(node));
      return;
    }
    if (node.text == "<<") {
      mistakes_.add(place, key_,
                    "the merge key << is not applied; compose configs with a defaults: list");
      return;
    }
    const auto [first, is_new] = map.keys.emplace(node.text, place);
    if (!is_new) {
      mistakes_.add(place, open_keys(),
                    "is written twice, first at " + first->second.text() + "; remove one");
      return;
    }
    map.key_usable = true;
  }

  // The dotted name of where the parse is, "optim.lr".
  std::string open_keys() const {
    std::string name(key_);
    for (const Frame& frame : open_) {
      if (frame.has_key) name += (name.empty() ? "" : ".") + frame.key;
    }
    return name;
  }

  void take_value(Frame& map, YamlNode node) {
    map.has_key = false;
    // The place of a missing value is wherever the scanner noticed; its key is where to look.
    if (node.is_null()) node.place = map.key_place;
    if (map.key_usable) map.node.entries.push_back({map.key, map.key_place, std::move(node)});
  }

  const Place& origin_;
  std::string_view key_;
  Mistakes& mistakes_;
  std::vector<Frame> open_;
  std::map<YAML::anchor_t, YamlNode> anchors_;  // complete ones only
  YamlNode root_;
  size_t size_ = 0;
  int last_scalar_ = -1;  // position of the last scalar in the text
  int documents_ = 0;
};

// What yaml-cpp would take silently: bytes that are no text (0x04 ends its stream) and tabs as
// indentation (a level of their own in some readers). True when the text may be parsed.
bool check_characters(std::string_view text, const Place& origin, std::string_view key,
                      Mistakes& mistakes) {
  const auto refuse = [&](size_t at, const std::string& what) {
    Place place = origin;
    if (origin.column != 0) {
      const std::string_view before = text.substr(0, at);
      place.line = 1 + static_cast<int>(std::count(before.begin(), before.end(), '\n'));
      place.column = static_cast<int>(at - (before.rfind('\n') + 1)) + 1;
    }
    mistakes.add(place, key, what);
    return false;
  };
  if (text.size() > kLongestText) return refuse(0, "is longer than 256 KiB");
  const size_t bad = first_non_text(text);
  if (bad != std::string_view::npos) {
    return refuse(bad, "a byte that is not UTF-8 text; save the file as UTF-8");
  }
  for (size_t start = 0; start < text.size();) {
    const size_t content = text.find_first_not_of(" \t\r", start);
    const size_t tab = text.find('\t', start);
    const bool blank = content == std::string_view::npos || text[content] == '\n';
    if (!blank && tab < content) return refuse(tab, "a tab in the indentation; use spaces");
    const size_t newline = text.find('\n', start);
    if (newline == std::string_view::npos) break;
    start = newline + 1;
  }
  return true;
}

// yaml-cpp's wording where it speaks of its own tokens rather than of what was written.
std::string in_plain_words(const std::string& message) {
  static const std::map<std::string, std::string> kWords = {
      {YAML::ErrorMsg::END_OF_SEQ_FLOW, "a [ without its ]"},
      {YAML::ErrorMsg::END_OF_MAP_FLOW, "a { without its }"},
      {YAML::ErrorMsg::FLOW_END, "a ] or } that closes nothing"},
      {YAML::ErrorMsg::EOF_IN_SCALAR, "a quote that is not closed"},
      {YAML::ErrorMsg::MAP_VALUE, "a colon where no key can stand; quote a value that holds `: `"},
      {YAML::ErrorMsg::END_OF_MAP, "a line that is no `key: value`, or whose indentation is off"},
      {YAML::ErrorMsg::END_OF_SEQ, "a line that is no `- item`, or whose indentation is off"},
  };
  const auto found = kWords.find(message);
  return found == kWords.end() ? message : found->second;
}

}  // namespace

std::optional<YamlNode> parse_yaml(std::string_view text, const Place& origin, std::string_view key,
                                   Mistakes& mistakes) {
  if (!check_characters(text, origin, key, mistakes)) return std::nullopt;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder(origin, key, mistakes);
    while (parser.HandleNextDocument(builder)) {
    }
    return builder.take_root();
  } catch (const YAML::Exception& error) {
    const std::string hint =
        origin.column == 0 ? "; put text that YAML gives a meaning in quotes" : "";
    mistakes.add(place_of(error.mark, origin), key,
                 "cannot be parsed: " + in_plain_words(error.msg) + hint);
  }
  return std::nullopt;
}

std::optional<std::string> read_config_file(const std::filesystem::path& file,
                                            const Place& asked_at, Mistakes& mistakes) {
  std::error_code error;
  const std::string name = file.string();
  if (!std::filesystem::is_regular_file(file, error)) {
    mistakes.add(asked_at, "", name + " is not a regular file");
    return std::nullopt;
  }
  std::ifstream stream(file, std::ios::binary);
  std::string text(kLongestText + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!stream.is_open() || stream.bad()) {
    mistakes.add(asked_at, "", name + " cannot be read; check its permissions");
    return std::nullopt;
  }
  text.resize(static_cast<size_t>(stream.gcount()));
  return text;
}

}  // namespace cltrain
