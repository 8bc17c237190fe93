// "Did you mean": the existing word closest to a misspelt one. Pure functions, thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cltrain {

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (the
/// "optimal string alignment" form of Damerau-Levenshtein), or limit + 1 once it is known to be
/// above `limit`.
size_t edit_distance(std::string_view a, std::string_view b, size_t limit);

/// The word of `words` closest to `word` (at most 2 edits, and fewer than half of its letters; else
/// one that starts with `word` or that `word` starts with), the first of equals; "" when none is
/// near.
std::string nearest_word(std::string_view word, const std::vector<std::string>& words);

/// "a, b, c" of `words`.
std::string join(const std::vector<std::string>& words, std::string_view separator = ", ");

}  // namespace cltrain
