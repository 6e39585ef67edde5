#pragma once

#include <cstdint>

namespace torch_transformer {

struct transformer_shape {
  std::int64_t symbols = 0;  // > 0: inputs are symbols; 0: they are rows of features
  std::int64_t features = 0;
  std::int64_t positions = 0;
  std::int64_t classes = 0;
  bool predicts_next =
      false;  // each position answers and sees only earlier ones; else one answer from all positions
  std::int64_t width = 0;
  std::int64_t heads = 0;
  std::int64_t layers = 0;
  std::int64_t hidden = 0;   // width inside a feed-forward block, or inside each expert
  std::int64_t experts = 1;  // 1: a plain feed-forward block
  std::int64_t experts_per_token = 1;
};

}  // namespace torch_transformer
