// GlobalRows in an autograd context, between forward and backward. For dist/global_*.cpp.
#pragma once

#include "dist/exchange.h"

#include <torch/csrc/autograd/custom_function.h>

namespace cltrain {

/// `type`: of the embeddings that were given, and of their gradients.
inline void remember(torch::autograd::AutogradContext* context, const GlobalRows& where,
                     at::ScalarType type) {
  context->saved_data["type"] = static_cast<int64_t>(type);
  context->saved_data["rows"] = where.rows;
  context->saved_data["communicator"] = reinterpret_cast<int64_t>(&where.communicator);
  context->saved_data["exchange"] = static_cast<int64_t>(where.exchange);
  context->saved_data["cuda_kernels"] = where.cuda_kernels;
}

inline at::ScalarType remembered_type(torch::autograd::AutogradContext* context) {
  return static_cast<at::ScalarType>(context->saved_data["type"].toInt());
}

inline GlobalRows remembered_rows(torch::autograd::AutogradContext* context) {
  return {context->saved_data["rows"].toIntVector(),
          *reinterpret_cast<const Communicator*>(context->saved_data["communicator"].toInt()),
          static_cast<Exchange>(context->saved_data["exchange"].toInt()),
          /*bfloat16=*/false,  // saved rows have their type already
          context->saved_data["cuda_kernels"].toBool()};
}

}  // namespace cltrain
