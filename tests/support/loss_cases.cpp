#include "support/loss_cases.hpp"

namespace support {

using distill::loss_kind;

namespace {

oracle::formula formula_named(loss_kind kind) {
  switch (kind) {
    case loss_kind::forward_kl:
      return oracle::formula::forward_kl;
    case loss_kind::reverse_kl:
      return oracle::formula::reverse_kl;
    case loss_kind::jensen_shannon:
      return oracle::formula::jensen_shannon;
    case loss_kind::skewed_forward_kl:
      return oracle::formula::skewed_forward_kl;
    case loss_kind::skewed_reverse_kl:
      return oracle::formula::skewed_reverse_kl;
    case loss_kind::total_variation:
      return oracle::formula::total_variation;
    case loss_kind::alpha_beta:
      return oracle::formula::alpha_beta;
    case loss_kind::soft_cross_entropy:
      return oracle::formula::soft_cross_entropy;
    case loss_kind::user_divergence:
      return oracle::formula::pearson_chi2;
    case loss_kind::cross_entropy:
      return oracle::formula::cross_entropy;
    case loss_kind::logit_mse:
      return oracle::formula::logit_mse;
    case loss_kind::ranking_hinge:  // ranking_test has its own oracle
    case loss_kind::ranking_logistic:
      break;
    case loss_kind::decoupled_kl:
      return oracle::formula::decoupled_kl;
    case loss_kind::standardized_kl:
      return oracle::formula::standardized_kl;
    case loss_kind::adaptive_kl:
      return oracle::formula::adaptive_kl;
    case loss_kind::taid_kl:
      return oracle::formula::taid_kl;
    case loss_kind::corrected_kl:
      return oracle::formula::corrected_kl;
  }
  return oracle::formula::forward_kl;
}

loss_case objective_case(const distill::objective& sum,
                         std::shared_ptr<const std::vector<std::int64_t>> labels) {
  loss_case result{distill::to_string(sum), {}, {}, std::move(labels)};
  for (const distill::loss_term& term : sum.terms()) {
    result.terms.push_back(term);
    result.formulas.push_back(formula_of(term));
  }
  return result;
}

std::shared_ptr<const std::vector<std::int64_t>> labels_of(std::size_t rows, std::size_t classes,
                                                           bool ignore_some) {
  auto labels = std::make_shared<std::vector<std::int64_t>>(rows);
  for (std::size_t row = 0; row < rows; ++row)
    (*labels)[row] = ignore_some && row % 5 == 4 ? -100 : static_cast<std::int64_t>(row * 7 % classes);
  return labels;
}

template <class L>
loss_case labelled_case(L loss, std::size_t rows, std::size_t classes) {
  const auto labels = labels_of(rows, classes, true);
  loss.labels = *labels;
  loss_case result = case_of(loss);
  result.labels = labels;
  return result;
}

template <class L>
void append_divergence(std::vector<loss_case>& cases, L loss) {
  loss.temperature = 3;
  cases.push_back(case_of(loss));
  loss.teacher_temperature = 0.7;
  cases.push_back(case_of(loss));
  loss.temperature_squared = false;
  cases.push_back(case_of(loss));
}

}  // namespace

oracle::loss formula_of(const distill::loss_term& term) {
  oracle::loss result;
  result.kind = formula_named(term.kind);
  result.student_temperature = term.temperature;
  result.teacher_temperature = term.teacher_temperature;
  result.temperature_squared = term.temperature_squared;
  result.alpha = term.alpha;
  result.beta = term.beta;
  result.coefficient = term.coefficient;
  result.ignore_index = term.ignore_index;
  result.label_smoothing = term.label_smoothing;
  for (std::size_t row = 0; row < term.labels.size(); ++row) result.labels.push_back(term.labels[row]);
  return result;
}

loss_case cross_entropy_case(std::size_t rows, std::size_t classes, double temperature, double smoothing,
                             bool ignore_some) {
  const auto labels = labels_of(rows, classes, ignore_some);
  loss_case result = case_of(
      distill::cross_entropy{.labels = *labels, .temperature = temperature, .label_smoothing = smoothing});
  result.labels = labels;
  return result;
}

loss_case short_objective_case(std::size_t rows, std::size_t classes) {
  const auto labels = labels_of(rows, classes, true);
  return objective_case(
      0.7 * distill::forward_kl{.temperature = 5} + 0.3 * distill::cross_entropy{.labels = *labels}, labels);
}

loss_case long_objective_case(std::size_t rows, std::size_t classes) {
  const auto labels = labels_of(rows, classes, true);
  return objective_case(0.5 * distill::reverse_kl{.temperature = 2} +
                            0.25 * distill::jensen_shannon{.beta = 0.3} + 2 * distill::logit_mse{} +
                            distill::cross_entropy{.labels = *labels} +
                            distill::total_variation{.temperature = 4, .temperature_squared = false},
                        labels);
}

loss_case shared_objective_case(std::size_t which, std::size_t rows, std::size_t classes) {
  using namespace distill;
  const auto labels = labels_of(rows, classes, which % 2 == 1);
  const cross_entropy hard{.labels = *labels};
  const auto smoothed = [&](double temperature) {
    return cross_entropy{.labels = *labels, .temperature = temperature, .label_smoothing = 0.2};
  };
  switch (which) {
    case 0:
      return objective_case(0.7 * forward_kl{} + 0.3 * hard, labels);
    case 1:
      return objective_case(0.4 * hard + 2 * forward_kl{.teacher_temperature = 2}, labels);
    case 2:
      return objective_case(forward_kl{.temperature = 2} + 0.5 * smoothed(2), labels);
    case 3:
      return objective_case(0.5 * reverse_kl{.temperature = 2} +
                                0.25 * jensen_shannon{.temperature = 2, .beta = 0.3} +
                                forward_kl{.temperature = 2} + 0.3 * smoothed(1.5),
                            labels);
    case 4:
      return objective_case(
          skewed_forward_kl{.temperature = 3, .teacher_temperature = 2} + 2 * logit_mse{} +
              0.5 * skewed_reverse_kl{.temperature = 3, .teacher_temperature = 2, .alpha = 0.4},
          labels);
    case 5:
      return objective_case(0.3 * alpha_beta{.temperature = 2, .alpha = 0.3, .beta = 0.7} + 0.5 * hard +
                                0.2 * soft_cross_entropy{.temperature = 2} +
                                alpha_beta{.temperature = 2, .alpha = 0.3, .beta = 0.4},
                            labels);
    default:
      return objective_case(jensen_shannon{.beta = 0.9999} + reverse_kl{} + soft_cross_entropy{} + 0.5 * hard,
                            labels);
  }
}

std::vector<loss_case> transforming_cases(std::size_t rows, std::size_t classes) {
  return {labelled_case(distill::decoupled_kl{}, rows, classes), case_of(distill::standardized_kl{}),
          case_of(distill::adaptive_kl{}), case_of(distill::taid_kl{.interpolation = 0.4}),
          labelled_case(distill::corrected_kl{}, rows, classes)};
}

std::vector<loss_case> default_cases(std::size_t rows, std::size_t classes) {
  std::vector<loss_case> cases = {
      case_of(distill::forward_kl{}),          case_of(distill::reverse_kl{}),
      case_of(distill::jensen_shannon{}),      case_of(distill::skewed_forward_kl{}),
      case_of(distill::skewed_reverse_kl{}),   case_of(distill::total_variation{}),
      case_of(distill::alpha_beta{}),          case_of(distill::soft_cross_entropy{}),
      case_of(distill::logit_mse{}),           case_of(distill::divergence<pearson_chi2>{.temperature = 3}),
      cross_entropy_case(rows, classes),       short_objective_case(rows, classes),
      shared_objective_case(1, rows, classes), shared_objective_case(5, rows, classes)};
  for (const loss_case& one : transforming_cases(rows, classes)) cases.push_back(one);
  return cases;
}

std::vector<loss_case> all_cases(std::size_t rows, std::size_t classes) {
  std::vector<loss_case> cases = default_cases(rows, classes);
  append_divergence(cases, distill::forward_kl{});
  append_divergence(cases, distill::reverse_kl{});
  append_divergence(cases, distill::jensen_shannon{.beta = 0.1});
  append_divergence(cases, distill::skewed_forward_kl{.alpha = 0.3});
  append_divergence(cases, distill::skewed_reverse_kl{.alpha = 0.3});
  append_divergence(cases, distill::total_variation{});
  append_divergence(cases, distill::alpha_beta{.alpha = 0.3, .beta = 0.4});
  append_divergence(cases, distill::soft_cross_entropy{});
  append_divergence(cases, distill::divergence<pearson_chi2>{});
  for (const auto& [alpha, beta] : {std::pair{1.0, 0.0},
                                    {0.0, 1.0},
                                    {0.5, 0.0},
                                    {0.0, 0.5},
                                    {0.5, -0.5},
                                    {0.0, 0.0},
                                    {2.0, -1.0},
                                    {-0.5, 1.0},
                                    {1.0, 1.0}})
    cases.push_back(case_of(distill::alpha_beta{.temperature = 2, .alpha = alpha, .beta = beta}));
  cases.push_back(cross_entropy_case(rows, classes, 2, 0.1));
  cases.push_back(cross_entropy_case(rows, classes, 1, 1));
  cases.push_back(cross_entropy_case(rows, classes, 0.5, 0, true));
  cases.push_back(long_objective_case(rows, classes));
  append_divergence(cases, distill::standardized_kl{});
  append_divergence(cases, distill::adaptive_kl{.head_mass = 0.8});
  append_divergence(cases, distill::taid_kl{.interpolation = 0.7});
  cases.push_back(labelled_case(
      distill::decoupled_kl{.alpha = 2, .beta = 0.5, .temperature = 3, .teacher_temperature = 0.7}, rows,
      classes));
  cases.push_back(labelled_case(distill::corrected_kl{.threshold = 0.6, .temperature = 3}, rows, classes));
  return cases;
}

}  // namespace support
