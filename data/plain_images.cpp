#include "data/plain_images.h"

#include "data/views.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <ATen/ops/empty.h>

namespace cltrain {

at::Tensor plain_images(const Dataset& dataset, RowRange rows, const AugmentOptions& options,
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
  const auto work = [&] {
    try {
      for (int64_t row = next_row++; row < rows.count(); row = next_row++)
        make_plain_view(dataset.raw(rows.begin + row), options, out + row * picture);
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
  return pictures;
}

}  // namespace cltrain
