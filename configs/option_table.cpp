#include "configs/option_table.h"

#include "configs/nearest.h"
#include "configs/scalar_text.h"

#include <algorithm>
#include <stdexcept>

namespace cltrain {
namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

std::string check_range(const OptionSpec& spec, long double value) {
  if (spec.min && (value < *spec.min || (spec.above_min && value == *spec.min))) {
    return "is too small";
  }
  if (spec.max && value > *spec.max) return "is too large";
  return "";
}

// read_item: one value of a type from text, checked against the spec.
std::string read_item(const OptionSpec&, std::string_view text, bool& value) {
  return read_bool(text, value);
}

std::string read_item(const OptionSpec& spec, std::string_view text, int64_t& value) {
  int64_t number = 0;
  std::string problem = read_int(text, number);
  if (problem.empty()) problem = check_range(spec, static_cast<long double>(number));
  if (problem.empty()) value = number;
  return problem;
}

std::string read_item(const OptionSpec& spec, std::string_view text, double& value) {
  double number = 0;
  std::string problem = read_float(text, number);
  if (problem.empty()) problem = check_range(spec, number);
  if (problem.empty()) value = number;
  return problem;
}

std::string read_item(const OptionSpec& spec, std::string_view text, std::string& value) {
  const auto& choices = spec.choices;
  if (!choices.empty() && std::find(choices.begin(), choices.end(), text) == choices.end()) {
    return "is not one of the choices";
  }
  value = text;
  return "";
}

template <class Item>
std::string read_list(const OptionSpec& spec, const std::vector<std::string>& texts,
                      std::vector<Item>& values) {
  std::vector<Item> read(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string problem = read_item(spec, texts[i], read[i]);
    if (!problem.empty()) {
      return "has item " + std::to_string(i + 1) + ", " + quote_for_message(texts[i]) + ", which " +
             problem;
    }
  }
  values = std::move(read);
  return "";
}

std::string write_item(bool value) {
  return value ? "true" : "false";
}
std::string write_item(int64_t value) {
  return std::to_string(value);
}
std::string write_item(double value) {
  return write_float(value);
}
std::string write_item(const std::string& value) {
  return write_string(escape_interpolation(value));
}

template <class Item>
std::string write_item(const std::vector<Item>& values) {
  std::vector<std::string> items;
  for (const Item& value : values) items.push_back(write_item(value));
  return "[" + join(items) + "]";
}

template <class Value>
std::string write_field(const OptionSpec&, const Value& value) {
  return write_item(value);
}
template <class Item>
std::string write_field(const OptionSpec& spec, const std::vector<Item>& values) {
  const bool alone = spec.one_for_all && values.size() == 1;
  return alone ? write_item(values.front()) : write_item(values);
}

std::string range_text(const OptionSpec& spec) {
  std::string text;
  if (spec.min) text += (spec.above_min ? " > " : " >= ") + write_float(*spec.min);
  if (spec.max) text += (spec.min ? " and <= " : " <= ") + write_float(*spec.max);
  return text;
}

// A default outside its own range would make the printed config unreadable to the program itself.
template <class Value>
std::string default_problem(const OptionSpec& spec, const Value& value) {
  if constexpr (std::is_same_v<Value, bool>) {
    return "";
  } else if constexpr (std::is_same_v<Value, std::string>) {
    std::string ignored;
    return read_item(spec, value, ignored);
  } else if constexpr (std::is_arithmetic_v<Value>) {
    Value ignored = 0;
    return read_item(spec, write_item(value), ignored);
  } else {
    for (const auto& item : value) {
      const std::string problem = default_problem(spec, item);
      if (!problem.empty()) return problem;
    }
    return "";
  }
}

/// Options of a run, "train.global_batch", or flags of a sub-command, "--run".
bool is_option_name(std::string_view name) {
  if (name.starts_with("--")) name.remove_prefix(2);
  char before = '.';
  for (char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || c == '_' || (c >= '0' && c <= '9');
    if (!letter && (c != '.' || before == '.')) return false;
    before = c;
  }
  return before != '.';
}

std::string_view last_part(std::string_view name) {
  return name.substr(name.rfind('.') + 1);
}

}  // namespace

Option::Option(std::string name, Target target, OptionSpec spec)
    : name_(std::move(name)), target_(target), spec_(std::move(spec)), default_text_(format()) {
  if (!is_option_name(name_)) {
    throw std::logic_error("option name " + quote_for_message(name_) +
                           ": use lower-case words joined by dots, as in train.global_batch");
  }
  const std::string problem =
      std::visit([this](auto* field) { return default_problem(spec_, *field); }, target_);
  if (!problem.empty()) {
    throw std::logic_error("option " + name_ + ": its default " + default_text_ + " " + problem +
                           "; allowed: " + allowed());
  }
}

std::string Option::type_name() const {
  const std::string type =
      std::visit(Overloaded{[](bool*) { return "bool"; }, [](int64_t*) { return "int"; },
                            [](double*) { return "float"; }, [](std::string*) { return "string"; },
                            [](std::vector<double>*) { return "list of float"; },
                            [](std::vector<int64_t>*) { return "list of int"; },
                            [](std::vector<std::string>*) { return "list of string"; }},
                 target_);
  const std::string list_of = "list of ";
  return spec_.one_for_all ? type.substr(list_of.size()) + " or list" : type;
}

std::string Option::allowed() const {
  const std::string range = range_text(spec_);
  const std::string each = range.empty() ? "" : ", each" + range;
  const std::string choices = join(spec_.choices);
  return std::visit(
      Overloaded{[](bool*) -> std::string { return "true or false"; },
                 [&](int64_t*) { return "a whole number" + range; },
                 [&](double*) { return "a number" + range; },
                 [&](std::string*) { return choices.empty() ? "text" : "one of " + choices; },
                 [&](std::vector<double>*) {
                   return (spec_.one_for_all ? "a number" + range + ", or " : "") +
                          ("a list of numbers" + each);
                 },
                 [&](std::vector<int64_t>*) { return "a list of whole numbers" + each; },
                 [&](std::vector<std::string>*) {
                   return choices.empty() ? "a list of texts" : "a list, each one of " + choices;
                 }},
      target_);
}

std::string Option::format() const {
  return std::visit([this](const auto* field) { return write_field(spec_, *field); }, target_);
}

bool Option::is_list() const {
  return type_name().find("list") != std::string::npos;
}

bool Option::is_string() const {
  return std::holds_alternative<std::string*>(target_);
}

std::string Option::assign(std::string_view text) {
  return std::visit(
      [&](auto* field) -> std::string {
        if constexpr (requires { read_item(spec_, text, *field); }) {
          return read_item(spec_, text, *field);
        } else if (spec_.one_for_all) {
          return read_list(spec_, {std::string(text)}, *field);
        } else {
          return "is not a list";
        }
      },
      target_);
}

std::string Option::assign(const std::vector<std::string>& items) {
  return std::visit(
      [&](auto* field) -> std::string {
        if constexpr (requires { read_list(spec_, items, *field); }) {
          return read_list(spec_, items, *field);
        } else {
          return "is a list, not a single value";
        }
      },
      target_);
}

void OptionTable::add(std::string name, bool& field, OptionSpec spec) {
  insert(Option(std::move(name), &field, std::move(spec)));
}
void OptionTable::add(std::string name, int64_t& field, OptionSpec spec) {
  insert(Option(std::move(name), &field, std::move(spec)));
}
void OptionTable::add(std::string name, double& field, OptionSpec spec) {
  insert(Option(std::move(name), &field, std::move(spec)));
}
void OptionTable::add(std::string name, std::string& field, OptionSpec spec) {
  insert(Option(std::move(name), &field, std::move(spec)));
}
void OptionTable::add(std::string name, std::vector<double>& field, OptionSpec spec) {
  insert(Option(std::move(name), &field, std::move(spec)));
}
void OptionTable::add(std::string name, std::vector<int64_t>& field, OptionSpec spec) {
  insert(Option(std::move(name), &field, std::move(spec)));
}
void OptionTable::add(std::string name, std::vector<std::string>& field, OptionSpec spec) {
  insert(Option(std::move(name), &field, std::move(spec)));
}

void OptionTable::insert(Option option) {
  const std::string& name = option.name();
  if (find(name)) throw std::logic_error("option " + name + " is declared twice");
  if (is_section(name)) throw std::logic_error("option " + name + " is also a section of others");
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    const std::string section = name.substr(0, dot);
    if (find(section)) {
      throw std::logic_error("option " + name + ": " + section + " is an option, not a section");
    }
  }
  by_name_.emplace(name, options_.size());
  options_.push_back(std::move(option));
}

Option* OptionTable::find(std::string_view name) {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &options_[found->second];
}

const Option* OptionTable::find(std::string_view name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &options_[found->second];
}

bool OptionTable::is_section(std::string_view name) const {
  const std::string prefix = std::string(name) + ".";
  const auto next = by_name_.lower_bound(prefix);
  return next != by_name_.end() && next->first.starts_with(prefix);
}

std::string OptionTable::nearest(std::string_view name) const {
  constexpr size_t kLimit = 2;
  const size_t limit = std::min(kLimit, name.size() / 2);
  size_t best = limit + 1;
  std::string close, same_last, continued, close_last;
  for (const Option& option : options_) {
    const size_t distance = edit_distance(name, option.name(), limit);
    if (distance < best) {
      best = distance;
      close = option.name();
    }
    const std::string_view last = last_part(option.name()), wanted = last_part(name);
    if (same_last.empty() && last == wanted) same_last = option.name();
    const bool prefix = option.name().starts_with(name) || name.starts_with(option.name() + ".");
    if (continued.empty() && !name.empty() && prefix) continued = option.name();
    const size_t last_limit = std::min(kLimit, wanted.size() / 3);
    if (close_last.empty() && edit_distance(last, wanted, last_limit) <= last_limit) {
      close_last = option.name();
    }
  }
  for (const std::string& found : {close, same_last, continued, close_last}) {
    if (!found.empty()) return found;
  }
  return "";
}

}  // namespace cltrain
