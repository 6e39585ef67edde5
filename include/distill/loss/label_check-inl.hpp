// Labels that would leave memory are refused before anything is written.
#pragma once

#include <distill/error/error.hpp>
#include <distill/loss/label_view.hpp>
#include <distill/view/vector_view.hpp>
#include <string>
#include <string_view>

namespace distill::inline DISTILL_ABI::detail {

// The label of every row that counts is a class or ignore_index.
inline void require_labels_of_classes(std::string_view name, const label_view& labels,
                                      std::int64_t ignore_index, const vector_view<const float>& weights,
                                      std::size_t classes) {
  for (std::size_t row = 0; row < labels.size(); ++row) {
    const bool is_masked = !weights.empty() && weights[row] == 0;
    const std::int64_t label = labels[row];
    if (is_masked || label == ignore_index || (label >= 0 && static_cast<std::size_t>(label) < classes))
      continue;
    throw data_error(std::string(name) + ": labels[" + std::to_string(row) + "] is " + std::to_string(label) +
                     ", must be in [0, " + std::to_string(classes) + ") or ignore_index " +
                     std::to_string(ignore_index));
  }
}

}  // namespace distill::inline DISTILL_ABI::detail
