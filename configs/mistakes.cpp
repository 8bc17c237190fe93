#include "configs/mistakes.h"

#include "configs/scalar_text.h"

#include <algorithm>
#include <tuple>

namespace cltrain {

std::string Place::text() const {
  if (column == 0) return source;
  return source + ":" + std::to_string(line) + ":" + std::to_string(column);
}

void Mistakes::add(const Place& place, std::string_view key, std::string_view what) {
  // A key may hold anything; as a YAML scalar it stays on its line.
  std::string text = place.text() + ": ";
  if (!key.empty()) text += (key.size() > 60 ? quote_for_message(key) : write_string(key)) + ": ";
  text += what;
  if (texts_.insert(text).second) mistakes_.push_back({place, std::move(text)});
}

void Mistakes::throw_if_any() const {
  if (mistakes_.empty()) return;
  std::vector<Mistake> sorted = mistakes_;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Mistake& a, const Mistake& b) {
    return std::tie(a.place.order, a.place.line, a.place.column) <
           std::tie(b.place.order, b.place.line, b.place.column);
  });
  constexpr size_t kMostShown = 100;
  std::string text;
  for (size_t i = 0; i < std::min(sorted.size(), kMostShown); ++i) {
    text += (i == 0 ? "" : "\n") + sorted[i].text;
  }
  if (sorted.size() > kMostShown) {
    text += "\n... and " + std::to_string(sorted.size() - kMostShown) + " more mistakes";
  }
  throw ConfigError(text);
}

}  // namespace cltrain
