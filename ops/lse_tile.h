// Arithmetic on one tile of logits while it is in the cache: exponentials, their sums, and the
// weights of the backward pass. Float32 and float64, on this machine's widest vectors. Pure.
//
// A tile is [rows][stride] dot products s; stride is a multiple of kTileLanes and every row is
// filled up to it (columns that do not exist hold kMaskedProduct). Logits are handled to base 2:
// x = s * (high + low) - reference, where high + low = scale * log2(e) to twice the precision.
#pragma once

#include "ops/lse_basics.h"
#include "ops/lse_schedule.h"

#include <cstdint>

#include <c10/util/BFloat16.h>

namespace cltrain {

inline constexpr int64_t kTileLanes = 16;
/// Most rows and columns of a tile: a part of a block of rows against a block of columns.
inline constexpr int64_t kTileRows = 64, kTileColumns = kLargestBlock;

template <class Real>
struct Tile {
  Real* s;
  int64_t rows, columns, stride;
};

template <class Real>
struct LogitRange {
  Real lowest, highest;
};
/// Over the columns that exist.
LogitRange<float> range_of(const Tile<float>& tile);
LogitRange<double> range_of(const Tile<double>& tile);

/// row_sums[i] and column_sums[j] (may be null) of 2^(s scale - reference), over the whole stride.
void sum_shared(const Tile<float>& tile, Base2Scale<float> scale, float reference, double* row_sums,
                double* column_sums);
void sum_shared(const Tile<double>& tile, Base2Scale<double> scale, double reference,
                double* row_sums, double* column_sums);

/// As sum_shared, each row (column) with its own reference, its largest logit, which is returned.
void sum_by_row(const Tile<float>& tile, Base2Scale<float> scale, float* references, double* sums);
void sum_by_row(const Tile<double>& tile, Base2Scale<double> scale, double* references,
                double* sums);
void sum_by_column(const Tile<float>& tile, Base2Scale<float> scale, float* references,
                   double* sums);
void sum_by_column(const Tile<double>& tile, Base2Scale<double> scale, double* references,
                   double* sums);

/// How a tile's logits become weights p of the backward pass.
///   shared: p_ij = 2^(x_ij - reference) (row_factor_i + column_factor_j)
///   apart:  p_ij = row_factor_i 2^(x_ij - row_reference_i)
///                  + column_factor_j 2^(x_ij - column_reference_j)
/// Factors of rows that do not exist (up to a multiple of kTileLanes) are 0.
template <class Real>
struct TileWeights {
  bool shared;
  Real reference;
  const Real *row_factor, *column_factor;
  const Real *row_reference, *column_reference;
};

/// Where they go: [rows][stride] and, unless null, transposed [columns][transposed_stride].
template <class Out>
struct WeightTile {
  Out* p;
  Out* transposed;
  int64_t transposed_stride;
};
void weigh(const Tile<float>& tile, Base2Scale<float> scale, const TileWeights<float>& weights,
           const WeightTile<float>& out);
void weigh(const Tile<float>& tile, Base2Scale<float> scale, const TileWeights<float>& weights,
           const WeightTile<c10::BFloat16>& out);
void weigh(const Tile<double>& tile, Base2Scale<double> scale, const TileWeights<double>& weights,
           const WeightTile<double>& out);

}  // namespace cltrain
