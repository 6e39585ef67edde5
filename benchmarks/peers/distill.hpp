#pragma once

#include <distill/execution/openmp.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/loss/evaluate.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <distill/view/matrix_view.hpp>
#include <memory>
#include <type_traits>
#include <utility>

#include "peers/contender.hpp"

/// The library itself as a contender: a kept workspace and, for more than one thread, an executor.
namespace benchmarks {

template <class Element>
using distill_element =
    std::conditional_t<std::is_same_v<Element, bfloat16_bits>, distill::bfloat16, Element>;

template <class Element>
auto view_of(aligned_vector<Element>& memory, const shape& extent) {
  return distill::matrix_view<distill_element<Element>>(
      reinterpret_cast<distill_element<Element>*>(memory.data()), extent.rows, extent.columns,
      static_cast<std::ptrdiff_t>(extent.row_stride()), static_cast<std::ptrdiff_t>(extent.column_stride()));
}

/// What a call of the library keeps between calls.
struct call_state {
  distill::workspace workspace;
  distill::openmp_executor team;

  distill::row_options options() {
    distill::row_options rows;
    if (team.threads > 1) rows.executor = team;
    rows.workspace = &workspace;
    return rows;
  }
};

/// A contender that calls `use(student, teacher, gradient, row_options)`.
template <class Element, class Use>
contender bind_distill(problem<Element>& task, int threads, oracle_rule rule, Use use) {
  const auto state = std::make_shared<call_state>(call_state{{}, {threads}});
  const auto student = view_of(task.student, task.extent);
  const auto teacher = view_of(task.teacher, task.extent);
  const auto gradient = view_of(task.output, task.extent);
  const auto call = [=] { return use(student, teacher, gradient, state->options()); };
  return {call, std::move(rule), {}};
}

/// Value and gradient of one loss or objective.
template <class Element, class Loss>
peer<Element> distill_loss(std::string name, const Loss& loss, const oracle_rule& rule) {
  return {std::move(name),
          [=](problem<Element>& task, int threads) { return bind_distill(task, threads, rule, loss); }};
}

/// The value alone.
template <class Element, class Loss>
peer<Element> distill_value(std::string name, const Loss& loss, const oracle_rule& rule) {
  return {std::move(name), [=](problem<Element>& task, int threads) {
            const auto use = [loss](auto student, auto teacher, auto, const distill::row_options& rows) {
              return loss(student, teacher, distill::no_gradient, rows);
            };
            return bind_distill(task, threads, oracle::value_only(rule), use);
          }};
}

}  // namespace benchmarks
