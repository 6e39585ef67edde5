#pragma once

#include <limits>
#include <map>
#include <string>

#include "peers/contender.hpp"

namespace benchmarks {

/// Against the oracle: relative for the value, relative to the largest entry for the output.
struct measured_error {
  double value = 0;
  double output = 0;
};

/// The largest errors that a contender may show and still be timed. They catch a wrong formula; lost digits
/// are reported instead.
struct error_bounds {
  double value;
  double output;
};

inline constexpr error_bounds unbounded{std::numeric_limits<double>::infinity(),
                                        std::numeric_limits<double>::infinity()};

/// The oracle's answers for one problem, each solved once.
template <class Element>
class answer_sheet {
 public:
  explicit answer_sheet(problem<Element>& task) : task_(task) {}

  /// Calls the contender, which must be bound to the same problem; throws std::runtime_error beginning with
  /// `name` if it is wrong.
  measured_error compare(const std::string& name, const contender& subject, const error_bounds& bounds);

 private:
  const expected_answer& answer_to(const oracle_rule& rule);

  problem<Element>& task_;
  std::map<std::string, expected_answer> answers_;
};

}  // namespace benchmarks
