// Opens rows of clicks by data.*: made ones, or those of a file of ratings.
//
// Called once at start-up, on every rank, from the main thread. Throws DataError.
#pragma once

#include "data/clicks/click_table.h"
#include "data/options.h"
#include "data/sequences/interactions.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace cltrain {

struct ClickPair {
  std::unique_ptr<ClickSet> train, test;
  std::string note;  ///< for the start-up print
  /// Of made rows: the chance of a click in each row of `test`, by the rule; else empty.
  std::vector<double> rule;
};

/// data.name=clicks_synthetic, or NAME.inter in data.root (data/sequences/open_sequences.h).
ClickPair open_clicks(const DataOptions& options);

/// A row for each interaction with a rating; from `click_rating` up it is a click. Columns:
/// user_id, item_id, and, of the user's interactions before it, item_list and rating_list. The last
/// tenth of each user's rows, rounded down, is the test. Throws DataError where there are no
/// ratings.
ClickPair rated_clicks(const Interactions& interactions, double click_rating, int64_t max_length);

/// Rows in the schema of Taobao's advertisements as EasyRec's samples have it, drawn, the same in
/// every run; every fifth is the test.
///
/// The rule: a shopper has one of 4 tastes, drawn for the row, which nothing but his list shows:
/// 3 of 4 brands in it are of that taste. An advertised brand has a style, its number modulo 4.
///   logit of the click = -1.6 + 2.6 [style is the taste] + 0.8 [price under 10] - 0.6 [pid is
///   430548_1007]
/// So no model of the other columns can do as well as one that reads the list.
ClickPair synthetic_clicks(int64_t rows, int64_t max_length);

}  // namespace cltrain
