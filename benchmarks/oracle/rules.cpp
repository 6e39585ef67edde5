#include <algorithm>
#include <cmath>

#include "oracle/oracle.hpp"

namespace benchmarks::oracle {
namespace {

struct distribution {
  std::vector<long double> p;
  std::vector<long double> log_p;
};

long double log_sum_exp_of(std::span<const long double> logits, long double temperature) {
  const long double largest = *std::max_element(logits.begin(), logits.end());
  long double sum = 0;
  for (const long double z : logits) sum += std::exp((z - largest) / temperature);
  return largest / temperature + std::log(sum);
}

/// One exponential per class: this runs over millions of them before every measurement.
distribution softmax_of(std::span<const long double> logits, long double temperature) {
  const long double largest = *std::max_element(logits.begin(), logits.end());
  distribution result{std::vector<long double>(logits.size()), std::vector<long double>(logits.size())};
  long double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    result.log_p[i] = (logits[i] - largest) / temperature;
    result.p[i] = std::exp(result.log_p[i]);
    sum += result.p[i];
  }
  const long double log_sum = std::log(sum);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    result.p[i] /= sum;
    result.log_p[i] -= log_sum;
  }
  return result;
}

/// The probability of one class under teacher (p) and student (q).
struct class_pair {
  long double p, q, log_p, log_q;
};

/// A divergence sum_i f(p_i, q_i): f and df/dq.
struct term {
  long double value, slope;
};

template <class Pointwise>
oracle_rule divergence(std::string name, long double temperature, Pointwise f) {
  return {std::move(name), [=](const row_logits& row, std::span<long double> gradient) {
            const distribution teacher = softmax_of(row.teacher, temperature);
            const distribution student = softmax_of(row.student, temperature);
            long double value = 0;
            long double mean_slope = 0;
            for (std::size_t i = 0; i < gradient.size(); ++i) {
              const term t = f(class_pair{teacher.p[i], student.p[i], teacher.log_p[i], student.log_p[i]});
              value += t.value;
              gradient[i] = t.slope;
              mean_slope += student.p[i] * t.slope;
            }
            for (std::size_t i = 0; i < gradient.size(); ++i) {
              gradient[i] = temperature * student.p[i] * (gradient[i] - mean_slope);
            }
            return temperature * temperature * value;
          }};
}

template <class Pointwise>
oracle_rule of_student(std::string name, Pointwise f) {
  oracle_rule rule{std::move(name), [=](const row_logits& row, std::span<long double> output) {
                     const distribution student = softmax_of(row.student, 1);
                     for (std::size_t i = 0; i < output.size(); ++i) {
                       output[i] = f(student.p[i], student.log_p[i]);
                     }
                     return 0.0L;
                   }};
  rule.mean_over_rows = false;
  rule.has_value = false;
  return rule;
}

}  // namespace

oracle_rule forward_kl(long double temperature) {
  return divergence("forward_kl", temperature, [](const class_pair& c) {
    return term{c.p * (c.log_p - c.log_q), -c.p / c.q};
  });
}

oracle_rule reverse_kl(long double temperature) {
  return divergence("reverse_kl", temperature, [](const class_pair& c) {
    return term{c.q * (c.log_q - c.log_p), c.log_q - c.log_p};
  });
}

oracle_rule jensen_shannon(long double temperature, long double beta) {
  return divergence("jensen_shannon", temperature, [beta](const class_pair& c) {
    const long double log_m = std::log(beta * c.p + (1 - beta) * c.q);
    return term{beta * c.p * (c.log_p - log_m) + (1 - beta) * c.q * (c.log_q - log_m),
                (1 - beta) * (c.log_q - log_m)};
  });
}

oracle_rule skewed_forward_kl(long double temperature, long double alpha) {
  return divergence("skewed_forward_kl", temperature, [alpha](const class_pair& c) {
    const long double m = alpha * c.p + (1 - alpha) * c.q;
    return term{c.p * (c.log_p - std::log(m)), -(1 - alpha) * c.p / m};
  });
}

oracle_rule skewed_reverse_kl(long double temperature, long double alpha) {
  return divergence("skewed_reverse_kl", temperature, [alpha](const class_pair& c) {
    const long double m = (1 - alpha) * c.p + alpha * c.q;
    const long double log_ratio = c.log_q - std::log(m);
    return term{c.q * log_ratio, log_ratio - alpha * c.q / m};
  });
}

oracle_rule total_variation(long double temperature) {
  return divergence("total_variation", temperature, [](const class_pair& c) {
    const long double sign = c.q > c.p ? 1.0L : c.q < c.p ? -1.0L : 0.0L;
    return term{0.5L * std::abs(c.p - c.q), 0.5L * sign};
  });
}

oracle_rule alpha_beta(long double temperature, long double alpha, long double beta) {
  return divergence("alpha_beta", temperature, [alpha, beta](const class_pair& c) {
    const long double sum = alpha + beta;
    const long double mixed = std::exp(alpha * c.log_p + beta * c.log_q);
    const long double student = std::exp(sum * c.log_q);
    const long double teacher = std::exp(sum * c.log_p);
    return term{-(mixed - alpha / sum * teacher - beta / sum * student) / (alpha * beta),
                (student - mixed) / (alpha * c.q)};
  });
}

oracle_rule soft_cross_entropy(long double temperature) {
  return divergence("soft_cross_entropy", temperature, [](const class_pair& c) {
    return term{-c.p * c.log_q, -c.p / c.q};
  });
}

oracle_rule cross_entropy() {
  return {"cross_entropy", [](const row_logits& row, std::span<long double> gradient) {
            const distribution student = softmax_of(row.student, 1);
            std::copy(student.p.begin(), student.p.end(), gradient.begin());
            gradient[row.label] -= 1;
            return -student.log_p[row.label];
          }};
}

oracle_rule logit_mse() {
  return {"logit_mse", [](const row_logits& row, std::span<long double> gradient) {
            long double value = 0;
            for (std::size_t i = 0; i < gradient.size(); ++i) {
              const long double difference = row.student[i] - row.teacher[i];
              value += difference * difference;
              gradient[i] = 2 * difference;
            }
            return value;
          }};
}

oracle_rule weighted_sum(std::vector<std::pair<long double, oracle_rule>> terms) {
  std::string name;
  for (const auto& [weight, rule] : terms) name += std::to_string(weight) + rule.name;
  return {name, [terms = std::move(terms)](const row_logits& row, std::span<long double> gradient) {
            std::vector<long double> part(gradient.size());
            std::fill(gradient.begin(), gradient.end(), 0.0L);
            long double value = 0;
            for (const auto& [weight, rule] : terms) {
              value += weight * rule.row(row, part);
              for (std::size_t i = 0; i < part.size(); ++i) gradient[i] += weight * part[i];
            }
            return value;
          }};
}

oracle_rule value_only(oracle_rule rule) {
  rule.name += " value";
  rule.has_output = false;
  return rule;
}

oracle_rule softmax() {
  return of_student("softmax", [](long double p, long double) { return p; });
}

oracle_rule log_softmax() {
  return of_student("log_softmax", [](long double, long double log_p) { return log_p; });
}

oracle_rule log_sum_exp() {
  oracle_rule rule{"log_sum_exp", [](const row_logits& row, std::span<long double> output) {
                     output[0] = log_sum_exp_of(row.student, 1);
                     return 0.0L;
                   }};
  rule.mean_over_rows = false;
  rule.has_value = false;
  rule.one_output_per_row = true;
  return rule;
}

oracle_rule probability_difference() {
  oracle_rule rule{"probability_difference", [](const row_logits& row, std::span<long double> output) {
                     const distribution teacher = softmax_of(row.teacher, 1);
                     const distribution student = softmax_of(row.student, 1);
                     for (std::size_t i = 0; i < output.size(); ++i) output[i] = teacher.p[i] - student.p[i];
                     return 0.0L;
                   }};
  rule.mean_over_rows = false;
  rule.has_value = false;
  return rule;
}

oracle_rule nothing() { return {"nothing", {}, false, false, false, false}; }

}  // namespace benchmarks::oracle
