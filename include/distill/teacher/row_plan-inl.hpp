// How the rows of a job are cut, and how much scratch memory each block in flight has.
#pragma once

#include <distill/execution/row_blocks-inl.hpp>
#include <distill/view/untyped_matrix.hpp>

namespace distill::inline DISTILL_ABI::detail {

struct row_plan {
  row_blocks blocks;
  std::size_t slot_bytes;
  bool in_double;

  std::size_t bytes() const { return blocks.slots * slot_bytes; }
};

// Whether the kernels can use the rows where they are.
inline bool is_row_in_place(const input_matrix& m, bool in_double) {
  const element_type compute = in_double ? element_type::float64 : element_type::float32;
  return m.type == compute && (m.column_stride == 1 || m.columns == 1);
}

// Up to so many classes, or where classes are the strided direction: one row per lane, tiles of rows in
// scratch.
inline constexpr std::size_t most_classes_per_lane = 256;
inline bool is_strided_row(const input_matrix& m) {
  constexpr std::size_t most_strided_classes = 1024;
  return m.column_stride != 1 && m.row_stride == 1 && m.columns <= most_strided_classes;
}
inline std::size_t tile_elements(std::size_t columns, bool in_double) {
  return columns * (widest_vector_bytes / (in_double ? sizeof(double) : sizeof(float)));
}

// Elements from one scratch row to the next.
inline std::size_t padded_row(std::size_t columns, bool in_double) {
  const std::size_t lanes = widest_vector_bytes / (in_double ? sizeof(double) : sizeof(float));
  return (columns + lanes - 1) / lanes * lanes;
}

inline row_plan plan_rows(const executor_ref& executor, std::size_t rows, std::size_t bytes_per_row,
                          int copies, std::size_t pitch, bool in_double) {
  const std::size_t element = in_double ? sizeof(double) : sizeof(float);
  return {row_blocks(executor, rows, bytes_per_row),
          round_up_to_line(static_cast<std::size_t>(copies) * pitch * element), in_double};
}

// The first `kept` bytes of a workspace, and scratch behind them.
struct kept_and_scratch {
  std::byte* kept = nullptr;
  std::byte* scratch = nullptr;

  kept_and_scratch(workspace& memory, std::size_t kept_bytes, std::size_t scratch_bytes) {
    if (kept_bytes + scratch_bytes == 0) return;
    kept = memory.require(kept_bytes + scratch_bytes);
    scratch = kept + kept_bytes;
  }
};

}  // namespace distill::inline DISTILL_ABI::detail
