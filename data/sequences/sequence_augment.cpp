#include "data/sequences/sequence_augment.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

namespace cltrain {
namespace {

constexpr uint32_t kChoiceSite = 0;
constexpr uint32_t kFirstReservedView = 14;

constexpr std::array<std::pair<std::string_view, SequenceOperation>, 6> kNames{
    {{"identity", SequenceOperation::kIdentity},
     {"crop", SequenceOperation::kCrop},
     {"mask", SequenceOperation::kMask},
     {"reorder", SequenceOperation::kReorder},
     {"substitute", SequenceOperation::kSubstitute},
     {"insert", SequenceOperation::kInsert}}};

/// `ratio` of `size`, rounded down; at most all.
size_t part_of(size_t size, double ratio, size_t least) {
  const auto part = static_cast<size_t>(ratio * static_cast<double>(size));
  return std::min(size, std::max(least, part));
}

size_t start_of_run(size_t size, size_t length, KeyedStream& stream) {
  return static_cast<size_t>(stream.below(size - length + 1));
}

/// Which of `size` places are chosen, `count` of them without replacement: the start of a
/// Fisher-Yates shuffle.
std::vector<uint8_t> chosen_places(size_t size, size_t count, KeyedStream& stream) {
  std::vector<size_t> places(size);
  std::iota(places.begin(), places.end(), size_t{0});
  std::vector<uint8_t> chosen(size);
  for (size_t at = 0; at < count; ++at) {
    std::swap(places[at], places[at + stream.below(size - at)]);
    chosen[places[at]] = 1;
  }
  return chosen;
}

int32_t neighbour_of(int32_t item, const Neighbours& neighbours) {
  const auto at = static_cast<size_t>(item);
  if (item < 0 || at >= neighbours.best.size())
    throw std::invalid_argument("no neighbour of item " + std::to_string(item) + " among " +
                                std::to_string(neighbours.best.size()) +
                                " ids; substitute and insert need the neighbours of all items");
  return neighbours.best[at];
}

}  // namespace

ItemList crop_items(std::span<const int32_t> items, double ratio, KeyedStream& stream) {
  const size_t length = part_of(items.size(), ratio, 1);
  const auto run = items.subspan(start_of_run(items.size(), length, stream), length);
  return ItemList(run.begin(), run.end());
}

ItemList mask_items(std::span<const int32_t> items, double ratio, int32_t mask_id,
                    KeyedStream& stream) {
  ItemList result(items.begin(), items.end());
  const auto masked = chosen_places(items.size(), part_of(items.size(), ratio, 0), stream);
  for (size_t at = 0; at < result.size(); ++at)
    if (masked[at]) result[at] = mask_id;
  return result;
}

ItemList reorder_items(std::span<const int32_t> items, double ratio, KeyedStream& stream) {
  ItemList result(items.begin(), items.end());
  const size_t length = part_of(items.size(), ratio, 0);
  const size_t start = start_of_run(items.size(), length, stream);
  for (size_t left = length; left > 1; --left)
    std::swap(result[start + left - 1], result[start + stream.below(left)]);
  return result;
}

ItemList substitute_items(std::span<const int32_t> items, double ratio,
                          const Neighbours& neighbours, KeyedStream& stream) {
  ItemList result(items.begin(), items.end());
  const auto chosen = chosen_places(items.size(), part_of(items.size(), ratio, 1), stream);
  for (size_t at = 0; at < result.size(); ++at)
    if (chosen[at]) result[at] = neighbour_of(result[at], neighbours);
  return result;
}

ItemList insert_items(std::span<const int32_t> items, double ratio, const Neighbours& neighbours,
                      KeyedStream& stream) {
  const size_t count = part_of(items.size(), ratio, 1);
  const auto chosen = chosen_places(items.size(), count, stream);
  ItemList result;
  result.reserve(items.size() + count);
  for (size_t at = 0; at < items.size(); ++at) {
    if (chosen[at]) result.push_back(neighbour_of(items[at], neighbours));
    result.push_back(items[at]);
  }
  return result;
}

std::vector<SequenceOperation> sequence_operations(std::string_view names) {
  std::vector<SequenceOperation> operations;
  for (size_t start = 0; start <= names.size();) {
    const size_t end = std::min(names.find(',', start), names.size());
    const std::string_view name = names.substr(start, end - start);
    const auto* found =
        std::ranges::find(kNames, name, [](const auto& known) { return known.first; });
    if (found == kNames.end())
      throw std::invalid_argument("'" + std::string(name) + "' in '" + std::string(names) +
                                  "' is no augmentation of sequences; allowed, separated by "
                                  "commas: identity, crop, mask, reorder, substitute, insert");
    operations.push_back(found->second);
    start = end + 1;
  }
  return operations;
}

SequenceAugmentSettings coserec_augmentation() {
  using enum SequenceOperation;
  SequenceAugmentSettings settings;
  settings.choices = {{kInsert, kCrop, kMask, kReorder, kSubstitute}};
  settings.short_threshold = 4;
  return settings;
}

void check(const SequenceAugmentSettings& settings) {
  for (const auto& [name, ratio] : std::initializer_list<std::pair<const char*, double>>{
           {"crop", settings.crop},
           {"mask", settings.mask},
           {"reorder", settings.reorder},
           {"substitute", settings.substitute},
           {"insert", settings.insert},
           {"reorder of short lists", settings.short_reorder}})
    if (!(ratio >= 0 && ratio <= 1))
      throw std::invalid_argument("augmentation of sequences: the ratio of " + std::string(name) +
                                  " is " + std::to_string(ratio) + "; allowed: 0 to 1");
  const bool some_are_empty =
      settings.choices.empty() ||
      std::ranges::any_of(settings.choices, [](const auto& list) { return list.empty(); }) ||
      (settings.short_threshold > 0 && settings.short_choices.empty());
  if (some_are_empty)
    throw std::invalid_argument(
        "augmentation of sequences: a view has nothing to choose from; "
        "name one operation at least (identity changes nothing)");
  if (settings.short_threshold < 0 || settings.mask_id < 0)
    throw std::invalid_argument("augmentation of sequences: threshold of short lists " +
                                std::to_string(settings.short_threshold) + ", id of masked items " +
                                std::to_string(settings.mask_id) + "; allowed: 0 or more");
}

bool needs_neighbours(const SequenceAugmentSettings& settings) {
  const auto needs = [](const std::vector<SequenceOperation>& list) {
    return std::ranges::any_of(list, [](SequenceOperation operation) {
      return operation == SequenceOperation::kSubstitute || operation == SequenceOperation::kInsert;
    });
  };
  return std::ranges::any_of(settings.choices, needs) ||
         (settings.short_threshold > 0 && needs(settings.short_choices));
}

ItemList augment(std::span<const int32_t> items, const SequenceAugmentSettings& settings,
                 const Neighbours& neighbours, PhiloxKey key, int64_t user, uint32_t view) {
  if (view >= kFirstReservedView)
    throw std::invalid_argument("view " + std::to_string(view) + " of a sequence; allowed: 0 to " +
                                std::to_string(kFirstReservedView - 1));
  const bool is_short = settings.short_threshold > 0 &&
                        static_cast<int64_t>(items.size()) <= settings.short_threshold;
  const auto& choices = is_short
                            ? settings.short_choices
                            : settings.choices[std::min<size_t>(view, settings.choices.size() - 1)];
  const auto sample = static_cast<uint64_t>(user);
  const auto operation = choices[KeyedStream(key, sample, view, kChoiceSite).below(choices.size())];
  KeyedStream stream(key, sample, view, static_cast<uint32_t>(operation));
  switch (operation) {
    case SequenceOperation::kIdentity:
      return ItemList(items.begin(), items.end());
    case SequenceOperation::kCrop:
      return crop_items(items, settings.crop, stream);
    case SequenceOperation::kMask:
      return mask_items(items, settings.mask, settings.mask_id, stream);
    case SequenceOperation::kReorder:
      return reorder_items(items, is_short ? settings.short_reorder : settings.reorder, stream);
    case SequenceOperation::kSubstitute:
      return substitute_items(items, settings.substitute, neighbours, stream);
    case SequenceOperation::kInsert:
      return insert_items(items, settings.insert, neighbours, stream);
  }
  throw std::invalid_argument("no augmentation of sequences has the number " +
                              std::to_string(static_cast<uint32_t>(operation)));
}

}  // namespace cltrain
