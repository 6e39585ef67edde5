#pragma once

#include <distill/version.hpp>
#include <stdexcept>
#include <string>

namespace distill::inline DISTILL_ABI {

/// Extents that do not fit together: `forward_kl: teacher has 50257 classes, student has 50256`.
class shape_error : public std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A parameter outside its stated range: `forward_kl: temperature must be finite and > 0, got -1`.
class parameter_error : public std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// Memory that cannot be used as asked: overlapping buffers, strides that do not merge, a null pointer.
class layout_error : public std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

/// A value inside an array or file that cannot be used: a label outside the classes, a corrupt block.
class data_error : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace distill::inline DISTILL_ABI
