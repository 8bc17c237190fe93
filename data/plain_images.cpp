#include "data/plain_images.h"

#include "data/views.h"

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
PlainImages keep_good(const at::Tensor& pictures, int64_t first, std::vector<Reason> why) {
  PlainImages kept;
  float* out = pictures.mutable_data_ptr<float>();
  const int64_t picture = pictures.stride(0);
  for (int64_t row = 0; row < pictures.size(0); ++row) {
    if (Reason& reason = why[static_cast<size_t>(row)]) {
      kept.left_out.push_back(std::move(*reason));
      continue;
    }
    const auto to = static_cast<int64_t>(kept.positions.size());
    if (to != row) std::copy_n(out + row * picture, picture, out + to * picture);
    kept.positions.push_back(first + row);
  }
  kept.pictures = pictures.narrow(0, 0, static_cast<int64_t>(kept.positions.size()));
  return kept;
}

}  // namespace

PlainImages plain_images(const Dataset& dataset, RowRange rows, const AugmentOptions& options,
                         int64_t workers) {
  if (workers < 1 || rows.begin < 0 || rows.count() < 0 || rows.end > dataset.size())
    throw std::invalid_argument("plain_images: rows " + std::to_string(rows.begin) + " to " +
                                std::to_string(rows.end) + " of " + std::to_string(dataset.size()) +
                                ", " + std::to_string(workers) +
                                " workers; allowed: rows of the data set, 1 worker or more");
  at::Tensor pictures = at::empty({rows.count(), 3, options.size, options.size}, at::kFloat);
  float* out = pictures.mutable_data_ptr<float>();
  const int64_t picture = 3 * options.size * options.size;
  std::atomic<int64_t> next_row = 0;
  std::mutex mutex;
  std::exception_ptr error;
  std::vector<Reason> why(static_cast<size_t>(rows.count()));
  const auto make = [&](int64_t row) {
    try {
      make_plain_view(dataset.raw(rows.begin + row), options, out + row * picture);
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
  return keep_good(pictures, rows.begin, std::move(why));
}

}  // namespace cltrain
