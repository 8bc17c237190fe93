#include "configs/interpolate.h"

#include "configs/nearest.h"
#include "configs/scalar_text.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace cltrain {
namespace {

constexpr size_t kDeepest = 16;             // ${env:A,${env:B,...}}
constexpr size_t kLongestValue = 64 << 10;  // a: ${b}${b}, b: ${c}${c}, ... doubles at every step

std::string_view trim(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

bool is_variable_name(std::string_view name) {
  return !name.empty() && !std::isdigit(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return c < 0x80 && (std::isalnum(c) || c == '_'); });
}

// The position of the brace that closes the `${` before `start`, or npos.
size_t closing_brace(std::string_view text, size_t start) {
  size_t open = 1;
  for (size_t i = start; i < text.size(); ++i) {
    if (text[i] == '{' && text[i - 1] == '$') ++open;
    if (text[i] == '}' && --open == 0) return i;
  }
  return std::string_view::npos;
}

// "a.b" where the whole text is `${a.b}`.
std::optional<std::string_view> whole_option(std::string_view text) {
  if (!text.starts_with("${") || closing_brace(text, 2) != text.size() - 1) return std::nullopt;
  const std::string_view name = trim(text.substr(2, text.size() - 3));
  if (name.starts_with("env:")) return std::nullopt;
  return name;
}

}  // namespace

Interpolator::Interpolator(const OptionTable& table,
                           const std::map<std::string, const YamlNode*>& values, Mistakes& mistakes)
    : table_(table), values_(values), mistakes_(mistakes) {}

void Interpolator::mistake(const std::string& what) {
  mistakes_.add(active_.back().place, active_.back().name, what);
}

const std::optional<YamlNode>& Interpolator::value(const std::string& name) {
  const auto known = done_.find(name);
  if (known != done_.end()) return known->second;
  const auto written = values_.find(name);
  std::optional<YamlNode> node;
  if (written != values_.end()) {
    node = *written->second;
  } else {
    // The default, through the same door as if it had been written.
    node = parse_yaml(table_.find(name)->default_text(), {.source = "default"}, name, mistakes_);
  }
  if (node) {
    active_.push_back({name, node->place});
    node = expand(*node);
    active_.pop_back();
  }
  return done_[name] = std::move(node);
}

std::optional<YamlNode> Interpolator::expand(const YamlNode& node) {
  YamlNode result = node;
  if (node.is_scalar()) {
    if (const auto other = whole_option(node.text)) {
      const YamlNode* found = option(*other);
      if (!found) return std::nullopt;
      result = *found;
      result.place = node.place;
      return result;
    }
    std::optional<std::string> text = expand_text(node.text, 0);
    if (!text) return std::nullopt;
    result.text = std::move(*text);
  }
  for (YamlNode& item : result.items) {
    std::optional<YamlNode> expanded = expand(item);
    if (!expanded) return std::nullopt;
    if (!expanded->is_scalar()) {
      mistake("has the item " + quote_for_message(item.text) + ", which stands for " +
              describe_for_message(*expanded) + ", not a single value");
      return std::nullopt;
    }
    item = std::move(*expanded);
  }
  return result;
}

std::optional<std::string> Interpolator::expand_text(std::string_view text, size_t depth) {
  std::string result;
  for (size_t i = 0; i < text.size();) {
    const size_t dollar = text.find('$', i);
    result += text.substr(i, dollar - i);
    if (dollar == std::string_view::npos) break;
    const size_t after = std::min(text.find_first_not_of('$', dollar), text.size());
    const size_t dollars = after - dollar;
    const bool brace = after < text.size() && text[after] == '{';
    i = after;
    if (!brace || dollars > 1) {
      result.append(brace ? dollars - 1 : dollars, '$');
      if (brace) result += text[i++];
      continue;
    }
    const size_t close = closing_brace(text, after + 1);
    if (close == std::string_view::npos) {
      mistake(quote_for_message(text) + " has a ${ without its }; a literal one is written $${");
      return std::nullopt;
    }
    const auto value = expand_reference(text.substr(after + 1, close - after - 1), depth);
    if (!value) return std::nullopt;
    result += *value;
    i = close + 1;
    if (result.size() > kLongestValue) {
      mistake("becomes longer than 64 KiB when its ${...} are replaced");
      return std::nullopt;
    }
  }
  return result;
}

std::optional<std::string> Interpolator::expand_reference(std::string_view reference,
                                                          size_t depth) {
  reference = trim(reference);
  if (reference.starts_with("env:")) return environment(reference, depth);
  const YamlNode* node = option(reference);
  if (!node) return std::nullopt;
  if (node->is_list()) {
    mistake("has ${" + std::string(reference) + "}, a list, inside other text");
    return std::nullopt;
  }
  return node->text;
}

std::optional<std::string> Interpolator::environment(std::string_view reference, size_t depth) {
  const std::string_view content = reference.substr(4);
  const size_t comma = content.find(',');
  const std::string name(trim(content.substr(0, comma)));
  if (!is_variable_name(name)) {
    mistake("has " + quote_for_message("${" + std::string(reference) + "}") +
            "; allowed: ${env:VARIABLE} or ${env:VARIABLE,default}");
    return std::nullopt;
  }
  if (const char* value = std::getenv(name.c_str())) {
    if (first_non_text(value) == std::string::npos) return value;
    mistake("takes the environment variable " + name + ", which is not UTF-8 text");
    return std::nullopt;
  }
  if (comma == std::string_view::npos) {
    mistake("takes the environment variable " + name +
            ", which is not set; set it or write ${env:" + name + ",default}");
    return std::nullopt;
  }
  if (depth >= kDeepest) {
    mistake("nests ${env:...} deeper than " + std::to_string(kDeepest) + " levels");
    return std::nullopt;
  }
  return expand_text(trim(content.substr(comma + 1)), depth + 1);
}

const YamlNode* Interpolator::option(std::string_view reference) {
  const std::string name(reference);
  if (!table_.find(name)) {
    const std::string nearest = table_.nearest(name);
    mistake("has " + quote_for_message("${" + name + "}") + ", but there is no such option" +
            (nearest.empty() ? "; allowed: an option or env:VARIABLE" : "; nearest: " + nearest));
    return nullptr;
  }
  const auto is_name = [&](const Active& active) { return active.name == name; };
  const auto start = std::find_if(active_.begin(), active_.end(), is_name);
  if (start != active_.end()) {
    std::string chain;
    for (auto active = start; active != active_.end(); ++active) chain += active->name + " -> ";
    mistake("refers to itself: " + chain + name);
    return nullptr;
  }
  const std::optional<YamlNode>& found = value(name);
  return found ? &*found : nullptr;
}

bool may_interpolate(const YamlNode& node) {
  return node.text.find("${") != std::string::npos ||
         std::any_of(node.items.begin(), node.items.end(), may_interpolate);
}

}  // namespace cltrain
