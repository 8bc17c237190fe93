// What a method is built from: the registry makes the parts, methods put them together.
#pragma once

#include "dist/communicator.h"
#include "models/nets/encoder.h"
#include "models/nets/projection_head.h"
#include "models/options.h"

#include <functional>
#include <memory>

namespace cltrain {

struct MethodParts {
  const MethodOptions& options;
  /// A new encoder each time, with the same keyed weights.
  std::function<std::shared_ptr<Encoder>()> make_encoder;
  /// As model.head_* say; layers 0: the method's own number.
  HeadSettings head;
  InputShape input;
  uint64_t seed;
  const Communicator& communicator;  ///< of embeddings and queues; outlives the method
};

class SequenceEncoder;
/// Of recommenders: item_transformer for the items of parts.input, with keyed initial weights.
std::shared_ptr<SequenceEncoder> make_sequence_encoder(const MethodParts& parts);

}  // namespace cltrain
