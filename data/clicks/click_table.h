// Rows of a click-through model: ids that describe who was shown what, lists of ids of what he did
// before, and whether he clicked. Ids are kept as their hash (id_hash.h), so features of any number
// of buckets are made of the same rows.
//
// A row of a batch is
//   features  [F] int64    the columns side by side: one number of an id; of a list the last
//                          max_length ids, oldest first, and 0 behind the end of a shorter one
//   click     float32      1 or 0
//
// Every rank holds the whole table; once made it is not changed, and all const functions may be
// called from any number of threads at once.
#pragma once

#include "data/dataset.h"
#include "data/row_maker.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cltrain {

struct ClickColumn {
  std::string name;
  bool sequence = false;
  int64_t begin = 0, width = 1;  ///< its numbers in a row of `features`
};

struct ClickColumns {
  std::vector<ClickColumn> all;
  int64_t max_length = 0;  ///< of lists

  /// Columns in order; names that are repeated, or a max_length below 1, throw
  /// std::invalid_argument.
  ClickColumns(const std::vector<std::string>& ids, const std::vector<std::string>& sequences,
               int64_t max_length);
  int64_t width() const { return all.empty() ? 0 : all.back().begin + all.back().width; }
  /// nullptr where there is none.
  const ClickColumn* find(std::string_view name) const;
};

class ClickTable {
 public:
  explicit ClickTable(ClickColumns columns) : columns_(std::move(columns)) {}

  /// A row of text, a cell a column: an id, or ids with `|` between them; "" is no id, or an empty
  /// list. Throws std::invalid_argument for another number of cells.
  void add(std::span<const std::string> cells, bool click);
  /// A list of hashed ids that rows may share parts of; returns where it begins.
  int64_t add_ids(std::span<const int64_t> hashes);
  /// A row of hashes: the numbers of the ids in order, and of each list a part of what add_ids()
  /// has taken, [begin, end).
  struct Range {
    int64_t begin, end;
  };
  void add(std::span<const int64_t> ids, std::span<const Range> lists, bool click);

  const ClickColumns& columns() const { return columns_; }
  int64_t rows() const { return static_cast<int64_t>(clicks_.size()); }
  bool click(int64_t row) const { return clicks_[static_cast<size_t>(row)] != 0; }
  /// out [columns().width()].
  void write(int64_t row, int64_t* out) const;

 private:
  ClickColumns columns_;
  std::vector<int64_t> ids_;   // [rows][id columns]
  std::vector<Range> lists_;   // [rows][list columns], of pool_
  std::vector<int64_t> pool_;  // of lists
  std::vector<uint8_t> clicks_;
};

/// Some rows of a table. source_id is the row's number in the table. No labels: `click` is a field
/// of the batch.
class ClickSet : public SampleSet {
 public:
  /// Throws DataError if there is no row, or none that is clicked, or none that is not.
  ClickSet(std::shared_ptr<const ClickTable> table, std::vector<int64_t> rows,
           const std::string& description);

  int64_t size() const override { return static_cast<int64_t>(rows_.size()); }
  int64_t label(int64_t) const override { return -1; }
  int64_t classes() const override { return 0; }
  int64_t source_id(int64_t position) const override {
    return rows_.at(static_cast<size_t>(position));
  }
  /// "..., 20000 rows, 31.2 % clicks".
  std::string describe() const override { return description_; }

  const ClickTable& table() const { return *table_; }
  const std::shared_ptr<const ClickTable>& shared_table() const { return table_; }
  const ClickColumns& columns() const { return table_->columns(); }

 private:
  std::shared_ptr<const ClickTable> table_;
  std::vector<int64_t> rows_;
  std::string description_;
};

class ClickRows : public RowMaker {
 public:
  /// The set must outlive this.
  explicit ClickRows(const ClickSet& set);
  void make(int64_t position, PhiloxKey key, std::span<std::byte* const> outs) const override;

 private:
  const ClickSet& set_;
};

}  // namespace cltrain
