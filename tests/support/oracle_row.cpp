#include "support/oracle_row.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace oracle {
namespace {

using real = long double;
constexpr real infinity = std::numeric_limits<real>::infinity();

std::vector<real> exponentials(const std::vector<real>& logs) {
  std::vector<real> result(logs.size());
  for (std::size_t i = 0; i < logs.size(); ++i) result[i] = std::exp(logs[i]);
  return result;
}

real kl(const std::vector<real>& p, const std::vector<real>& log_q) {
  real sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i)
    if (p[i] > 0) sum += p[i] * (std::log(p[i]) - log_q[i]);
  return sum;
}

row_answer decoupled(const loss& l, const real* z, const real* t, std::size_t classes, std::size_t label) {
  const auto log_q = log_softmax(z, classes, l.student_temperature);
  const auto log_p = log_softmax(t, classes, l.teacher_temperature);
  std::vector<real> other_z, other_t;
  for (std::size_t i = 0; i < classes; ++i) {
    if (i == label) continue;
    other_z.push_back(z[i]);
    other_t.push_back(t[i]);
  }
  row_answer result{0, std::vector<real>(classes, 0)};
  if (classes == 1) return result;
  const auto log_r = log_softmax(other_z.data(), other_z.size(), l.student_temperature);
  const auto r = exponentials(log_r);
  const auto s = exponentials(log_softmax(other_t.data(), other_t.size(), l.teacher_temperature));
  // The mass of the others, from their logits.
  const auto rest = [](const std::vector<real>& logs, std::size_t without) {
    real sum = 0;
    for (std::size_t i = 0; i < logs.size(); ++i)
      if (i != without) sum += std::exp(logs[i]);
    return sum;
  };
  const real p_rest = rest(log_p, label), q_rest = rest(log_q, label);
  const real p = std::exp(log_p[label]), q = std::exp(log_q[label]);
  const real target = kl({p, p_rest}, {log_q[label], std::log(q_rest)});
  result.value = l.alpha * target + (classes > 2 ? l.beta * kl(s, log_r) : 0);
  const real difference = q > 0.5L ? p_rest - q_rest : q - p;
  for (std::size_t i = 0, j = 0; i < classes; ++i) {
    if (i == label) {
      result.gradient[i] = l.alpha * difference;
    } else {
      result.gradient[i] = l.beta * (r[j] - s[j]) - l.alpha * difference * r[j];
      ++j;
    }
  }
  return result;
}

struct standardized {
  std::vector<real> logits;
  real mean = 0, deviation = 0, count = 0;

  standardized(const real* x, std::size_t classes, real epsilon) : logits(classes, -infinity) {
    for (std::size_t i = 0; i < classes; ++i)
      if (x[i] != -infinity) mean += x[i], ++count;
    mean /= count;
    for (std::size_t i = 0; i < classes; ++i)
      if (x[i] != -infinity) deviation += (x[i] - mean) * (x[i] - mean);
    deviation = count > 1 ? std::sqrt(deviation / (count - 1)) : 0;
    for (std::size_t i = 0; i < classes; ++i)
      if (x[i] != -infinity) logits[i] = (x[i] - mean) / (deviation + epsilon);
  }
};

row_answer standardized_row(const loss& l, const real* z, const real* t, std::size_t classes) {
  const standardized student(z, classes, l.alpha), teacher(t, classes, l.alpha);
  const auto log_q = log_softmax(student.logits.data(), classes, l.student_temperature);
  const auto p = exponentials(log_softmax(teacher.logits.data(), classes, l.teacher_temperature));
  row_answer result{kl(p, log_q), std::vector<real>(classes, 0)};
  const real spread = student.deviation + l.alpha;
  real moment = 0;
  for (std::size_t i = 0; i < classes; ++i)
    if (student.logits[i] != -infinity) moment += (std::exp(log_q[i]) - p[i]) * student.logits[i];
  for (std::size_t i = 0; i < classes; ++i) {
    const real y = student.logits[i];
    const real through = student.deviation > 0 && y != -infinity
                             ? y * moment * spread / ((student.count - 1) * student.deviation)
                             : 0;
    result.gradient[i] = (std::exp(log_q[i]) - p[i] - through) / spread;
  }
  return result;
}

row_answer adaptive(const loss& l, const real* z, const real* t, std::size_t classes) {
  const auto log_q = log_softmax(z, classes, l.student_temperature);
  const auto log_p = log_softmax(t, classes, l.teacher_temperature);
  const auto p = exponentials(log_p), q = exponentials(log_q);
  const real head = head_weight(l, z, t, classes), tail = 1 - head, reverse = kl(q, log_p);
  row_answer result{head == 0 ? 0 : head * kl(p, log_q), std::vector<real>(classes)};
  if (tail != 0) result.value += tail * reverse;
  for (std::size_t i = 0; i < classes; ++i) {
    result.gradient[i] = head * (q[i] - p[i]);
    if (tail != 0 && q[i] > 0) result.gradient[i] += tail * q[i] * (log_q[i] - log_p[i] - reverse);
  }
  return result;
}

}  // namespace

bool transforms_rows(formula kind) {
  return kind == formula::decoupled_kl || kind == formula::standardized_kl || kind == formula::adaptive_kl ||
         kind == formula::taid_kl || kind == formula::corrected_kl;
}

real head_weight(const loss& l, const real* student, const real* teacher, std::size_t classes) {
  const auto q = softmax(student, classes, l.student_temperature);
  const auto p = softmax(teacher, classes, l.teacher_temperature);
  std::vector<std::size_t> order(classes);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] > p[b]; });
  real head = 0, all = 0, mass = 0;
  for (const std::size_t i : order) {
    const real difference = std::abs(p[i] - q[i]);
    all += difference;
    if (mass < l.alpha) head += difference;
    mass += p[i];
  }
  return all == 0 ? 1 : head / all;
}

std::vector<real> target_of(const loss& l, const real* student, const real* teacher, std::size_t classes,
                            std::size_t label) {
  if (l.kind == formula::taid_kl) {
    std::vector<real> mixed(classes);
    for (std::size_t i = 0; i < classes; ++i) {
      const real own = l.alpha == 1 ? 0 : (1 - l.alpha) * student[i] / l.student_temperature;
      mixed[i] = own + (l.alpha == 0 ? 0 : l.alpha * teacher[i] / l.teacher_temperature);
    }
    return softmax(mixed.data(), classes, 1);
  }
  auto p = softmax(teacher, classes, l.teacher_temperature);
  real largest = 0;
  for (std::size_t i = 0; i < classes; ++i)
    if (i != label) largest = std::max(largest, p[i]);
  const real gap = largest - p[label];
  const real share = -gap >= l.alpha ? 0 : (gap + l.alpha) / (1 + gap);
  for (std::size_t i = 0; i < classes; ++i) p[i] = (1 - share) * p[i] + (i == label ? share : 0);
  return p;
}

row_answer transformed_row(const loss& l, const real* student, const real* teacher, std::size_t classes,
                           std::size_t label) {
  row_answer result;
  if (l.kind == formula::decoupled_kl) {
    result = decoupled(l, student, teacher, classes, label);
  } else if (l.kind == formula::standardized_kl) {
    result = standardized_row(l, student, teacher, classes);
  } else if (l.kind == formula::adaptive_kl) {
    result = adaptive(l, student, teacher, classes);
  } else {
    const auto target = target_of(l, student, teacher, classes, label);
    const auto log_q = log_softmax(student, classes, l.student_temperature);
    result = {kl(target, log_q), std::vector<real>(classes)};
    for (std::size_t i = 0; i < classes; ++i) result.gradient[i] = std::exp(log_q[i]) - target[i];
  }
  const real scale = l.temperature_squared ? l.student_temperature * l.teacher_temperature : 1;
  result.value *= scale;
  for (real& g : result.gradient) g *= scale / l.student_temperature;
  return result;
}

}  // namespace oracle
