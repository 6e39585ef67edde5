#include <omp.h>

#include <memory>
#include <oneapi/dnnl/dnnl.hpp>

#include "peers/peers.hpp"

namespace benchmarks {
namespace {

constexpr int class_axis = 1;

struct device {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
};

dnnl::memory::desc describe(const shape& extent) {
  const auto size = [](std::size_t n) { return static_cast<dnnl::memory::dim>(n); };
  return {
      {size(extent.rows), size(extent.columns)}, dnnl::memory::data_type::f32, dnnl::memory::format_tag::ab};
}

/// Softmax or logsoftmax forward, or logsoftmax backward, with everything prepared.
template <class Operation>
typename Operation::primitive_desc forward(const device& on, const shape& extent) {
  return {{dnnl::prop_kind::forward_training, describe(extent), class_axis}, on.engine};
}

template <class Operation>
contender forward_only(problem<float>& task, int threads, oracle_rule rule) {
  omp_set_num_threads(threads);
  const device on;
  const auto layout = describe(task.extent);
  const Operation operation(forward<Operation>(on, task.extent));
  const dnnl::memory from(layout, on.engine, task.student.data());
  const dnnl::memory to(layout, on.engine, task.output.data());
  const auto call = [=] {
    omp_set_num_threads(threads);
    auto stream = on.stream;
    operation.execute(stream, {{DNNL_ARG_SRC, from}, {DNNL_ARG_DST, to}});
    stream.wait();
    return 0.0;
  };
  return {call, std::move(rule), {}};
}

contender gradient_chain(problem<float>& task, int threads) {
  omp_set_num_threads(threads);
  const device on;
  const auto layout = describe(task.extent);
  const auto log_forward = forward<dnnl::logsoftmax_forward>(on, task.extent);
  const dnnl::softmax_forward softmax(forward<dnnl::softmax_forward>(on, task.extent));
  const dnnl::logsoftmax_forward log_softmax(log_forward);
  const dnnl::logsoftmax_backward backward({{layout, layout, class_axis}, on.engine, log_forward});
  const auto scratch = std::make_shared<aligned_vector<float>[]>(2);
  for (std::size_t i : {0U, 1U}) scratch[i].resize(task.extent.elements());
  const dnnl::memory student(layout, on.engine, task.student.data());
  const dnnl::memory teacher(layout, on.engine, task.teacher.data());
  const dnnl::memory p(layout, on.engine, scratch[0].data());
  const dnnl::memory log_q(layout, on.engine, scratch[1].data());
  const dnnl::memory gradient(layout, on.engine, task.output.data());
  const auto call = [=] {
    omp_set_num_threads(threads);
    static_cast<void>(scratch);
    auto stream = on.stream;
    softmax.execute(stream, {{DNNL_ARG_SRC, teacher}, {DNNL_ARG_DST, p}});
    log_softmax.execute(stream, {{DNNL_ARG_SRC, student}, {DNNL_ARG_DST, log_q}});
    backward.execute(stream, {{DNNL_ARG_DST, log_q}, {DNNL_ARG_DIFF_DST, p}, {DNNL_ARG_DIFF_SRC, gradient}});
    stream.wait();
    return 0.0;
  };
  return {call, oracle::probability_difference(), {}};
}

}  // namespace

peer_list<float> onednn_softmax() {
  return {{"onednn_softmax", [](problem<float>& task, int threads) {
             return forward_only<dnnl::softmax_forward>(task, threads, oracle::softmax());
           }}};
}

peer_list<float> onednn_log_softmax() {
  return {{"onednn_log_softmax", [](problem<float>& task, int threads) {
             return forward_only<dnnl::logsoftmax_forward>(task, threads, oracle::log_softmax());
           }}};
}

peer_list<float> onednn_gradient_chain() { return {{"onednn_chain", gradient_chain}}; }

}  // namespace benchmarks
