#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace support {

/// Reproducible on every standard library: splitmix64 and Box-Muller.
class random_source {
 public:
  explicit random_source(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits();
  double uniform();  // in (0, 1)
  double normal();

 private:
  std::uint64_t state_;
};

/// Row-major logits of a student and a teacher.
struct logit_pair {
  std::size_t rows = 0, classes = 0;
  std::vector<double> student, teacher;
};

/// Both N(0, deviation²).
logit_pair independent_logits(std::size_t rows, std::size_t classes, std::uint64_t seed,
                              double deviation = 3);

/// The teacher N(0, 3²), the student the teacher plus N(0, deviation²).
logit_pair near_equal_logits(std::size_t rows, std::size_t classes, std::uint64_t seed,
                             double deviation = 0.05);

}  // namespace support
