#include "data/plain_images.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <ATen/ops/empty.h>

namespace cltrain {
namespace {

/// What was wrong with the sample of a row; nothing for a good one.
using Reason = std::optional<std::string>;

/// Closes the gaps that bad samples left.
PlainImages keep_good(const at::Tensor& pictures, int64_t views, int64_t first,
                      std::vector<Reason> why) {
  PlainImages kept{.views = views};
  float* out = pictures.mutable_data_ptr<float>();
  const int64_t sample = views * pictures.stride(0);
  for (int64_t row = 0; row < static_cast<int64_t>(why.size()); ++row) {
    if (Reason& reason = why[static_cast<size_t>(row)]) {
      kept.left_out.push_back(std::move(*reason));
      continue;
    }
    const auto to = static_cast<int64_t>(kept.positions.size());
    if (to != row) std::copy_n(out + row * sample, sample, out + to * sample);
    kept.positions.push_back(first + row);
  }
  kept.pictures = pictures.narrow(0, 0, views * static_cast<int64_t>(kept.positions.size()));
  return kept;
}

}  // namespace

PlainImages plain_images(const ViewMaker& maker, RowRange rows, int64_t workers) {
  if (workers < 1 || rows.begin < 0 || rows.count() < 0)
    throw std::invalid_argument("plain_images: rows " + std::to_string(rows.begin) + " to " +
                                std::to_string(rows.end) + ", " + std::to_string(workers) +
                                " workers; allowed: rows of the data set, 1 worker or more");
  const int64_t views = maker.plain_views();
  std::vector<int64_t> extents = maker.shape();
  extents.insert(extents.begin(), rows.count() * views);
  at::Tensor pictures = at::empty(extents, at::kFloat);
  float* out = pictures.mutable_data_ptr<float>();
  std::atomic<int64_t> next_row = 0;
  std::mutex mutex;
  std::exception_ptr error;
  std::vector<Reason> why(static_cast<size_t>(rows.count()));
  const auto make = [&](int64_t row) {
    try {
      maker.make_plain(rows.begin + row, out + row * views * maker.values());
    } catch (const BadSample& bad) {
      why[static_cast<size_t>(row)] = bad.what();
    }
  };
  const auto work = [&] {
    try {
      for (int64_t row = next_row++; row < rows.count(); row = next_row++) make(row);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
      next_row = rows.count();  // the others stop early
    }
  };
  std::vector<std::thread> threads;
  for (int64_t worker = 1; worker < std::min(workers, rows.count()); ++worker)
    threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  if (error) std::rethrow_exception(error);
  return keep_good(pictures, views, rows.begin, std::move(why));
}

PlainImages plain_images(const Dataset& dataset, RowRange rows, const AugmentOptions& options,
                         int64_t workers) {
  if (rows.end > dataset.size())
    throw std::invalid_argument("plain_images: rows to " + std::to_string(rows.end) + " of " +
                                std::to_string(dataset.size()));
  return plain_images(*dataset.views(options), rows, workers);
}

}  // namespace cltrain
