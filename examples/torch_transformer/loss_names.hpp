#pragma once

#include <string>
#include <vector>

/// The losses that a curriculum may name in its objectives.
namespace torch_transformer::loss_names {

inline constexpr const char* forward_kl = "forward_kl";
inline constexpr const char* cross_entropy = "cross_entropy";
inline constexpr const char* attention_kl = "attention_kl";
inline constexpr const char* attention_mse = "attention_mse";
inline constexpr const char* hidden_mse = "hidden_mse";

inline std::vector<std::string> all() {
  return {forward_kl, cross_entropy, attention_kl, attention_mse, hidden_mse};
}

}  // namespace torch_transformer::loss_names
