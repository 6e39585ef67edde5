#include <distill/alignment/fsp.hpp>
#include <distill/alignment/gram_mse.hpp>
#include <distill/alignment/hidden_cosine.hpp>
#include <distill/alignment/hidden_huber.hpp>
#include <distill/alignment/hidden_mse.hpp>
#include <distill/alignment/linear_cka.hpp>
#include <distill/alignment/normalized_mse.hpp>
#include <distill/alignment/rkd_distance.hpp>
#include <distill/alignment/similarity_preserving.hpp>
#include <distill/interop/eigen.hpp>
#include <memory>

#include "harness/suite.hpp"
#include "peers/distill.hpp"
#include "peers/peers.hpp"

// Losses on hidden states against the memory floor, and losses on the relations of a batch, and on the flow
// between layers, against the products that they need.
namespace {

using namespace benchmarks;

peer_list<float> on_hidden_states() {
  return {distill_loss<float>("hidden_mse", distill::hidden_mse{}, oracle::hidden_mse()),
          distill_loss<float>("hidden_huber", distill::hidden_huber{}, oracle::hidden_huber()),
          distill_loss<float>("hidden_cosine", distill::hidden_cosine{}, oracle::hidden_cosine()),
          distill_loss<float>("normalized_mse", distill::normalized_mse{}, oracle::normalized_mse())};
}

template <class Loss>
peer<float> on_a_batch(std::string name, const Loss& loss) {
  return {std::move(name), [=](problem<float>& task, int) -> contender {
            const auto workspace = std::make_shared<distill::workspace>();
            const auto student = view_of(task.student, task.extent);
            const auto teacher = view_of(task.teacher, task.extent);
            const auto gradient = view_of(task.output, task.extent);
            const auto call = [=] {
              return loss(student, teacher, gradient,
                          {.product = distill::eigen_product{}, .workspace = workspace.get()});
            };
            return {call, oracle::nothing(), {}};
          }};
}

// Two Gram matrices, and one of them times the rows.
peer<float> products() {
  return {"products", [](problem<float>& task, int) -> contender {
            const std::size_t rows = task.extent.rows, columns = task.extent.columns;
            const auto square = std::make_shared<aligned_vector<float>>(rows * rows);
            const auto call = [=, &task] {
              const distill::eigen_product product;
              const distill::matrix_view<float> gram(square->data(), rows, rows);
              const auto pitch = static_cast<std::ptrdiff_t>(columns);
              for (const auto* matrix : {&task.teacher, &task.student}) {
                product.multiply(1, distill::matrix_view<const float>(matrix->data(), rows, columns),
                                 distill::matrix_view<const float>(matrix->data(), columns, rows, 1, pitch),
                                 0, gram);
              }
              product.multiply(1, distill::matrix_view<const float>(gram), view_of(task.student, task.extent),
                               0, view_of(task.output, task.extent));
              return 0.0;
            };
            return {call, oracle::nothing(), {}};
          }};
}

/// Samples of feature maps: the first channels of a row are one layer's, the others another's.
struct flow {
  std::size_t samples, positions, first, second;

  shape extent() const { return {samples * positions, first + second}; }
  auto layers(aligned_vector<float>& memory) const {
    const std::size_t rows = memory.size() / (first + second);
    const auto pitch = static_cast<std::ptrdiff_t>(first + second);
    return distill::map_pair(distill::matrix_view<float>(memory.data(), rows, first, pitch, 1),
                             distill::matrix_view<float>(memory.data() + first, rows, second, pitch, 1));
  }
};

peer<float> fsp(const flow& of) {
  return {"fsp", [=](problem<float>& task, int) -> contender {
            const auto workspace = std::make_shared<distill::workspace>();
            const auto student = of.layers(task.student), teacher = of.layers(task.teacher),
                       gradient = of.layers(task.output);
            const auto call = [=] {
              return distill::fsp{.positions = of.positions}(
                  student, teacher, gradient,
                  {.product = distill::eigen_product{}, .workspace = workspace.get()});
            };
            return {call, oracle::fsp(of.positions, of.first), {}};
          }};
}

// Two Gram matrices of each sample, and a layer times one of them twice.
peer<float> products_of_flow(const flow& of) {
  return {"products", [=](problem<float>& task, int) -> contender {
            const auto square = std::make_shared<aligned_vector<float>>(of.first * of.second);
            const auto student = of.layers(task.student), teacher = of.layers(task.teacher),
                       gradient = of.layers(task.output);
            const auto call = [=] {
              const distill::eigen_product product;
              const distill::matrix_view<float> gram(square->data(), of.first, of.second);
              const auto transposed = [](const auto& m) {
                return distill::matrix_view<const float>(m.data_handle(), m.columns(), m.rows(), m.stride(1),
                                                         m.stride(0));
              };
              for (std::size_t at = 0; at < student.first.rows(); at += of.positions) {
                const auto sample = [&](const auto& m) {
                  return distill::matrix_view<float>(&m(at, 0), of.positions, m.columns(), m.stride(0), 1);
                };
                product.multiply(1, transposed(sample(teacher.first)), sample(teacher.second), 0, gram);
                product.multiply(1, transposed(sample(student.first)), sample(student.second), 0, gram);
                product.multiply(1, sample(student.second), transposed(gram), 0, sample(gradient.first));
                product.multiply(1, sample(student.first), gram, 0, sample(gradient.second));
              }
              return 0.0;
            };
            return {call, oracle::nothing(), {}};
          }};
}

void fill(suite& contenders) {
  const auto states = on_hidden_states() + torch_hidden_states() + memory_floor();
  for (const shape& extent : {shape{16384, 768}, shape{8192, 1024}}) {
    contenders.add({.task = "hidden_states", .extent = extent}, states);
  }
  const peer_list<float> relations{on_a_batch("rkd_distance", distill::rkd_distance{}),
                                   on_a_batch("similarity_preserving", distill::similarity_preserving{}),
                                   on_a_batch("linear_cka", distill::linear_cka{}),
                                   on_a_batch("gram_mse", distill::gram_mse{}), products()};
  for (const shape& extent : {shape{512, 768}, shape{1024, 1024}}) {
    contenders.add({.task = "relations", .extent = extent}, relations);
  }
  for (const flow& of : {flow{16, 28 * 28, 64, 128}, flow{64, 7 * 7, 256, 512}}) {
    contenders.add({.task = "flow",
                    .extent = of.extent(),
                    .checked_elements = 2 * of.positions * (of.first + of.second)},
                   peer_list<float>{fsp(of), products_of_flow(of)} + torch_fsp(of.positions, of.first));
  }
}

}  // namespace

int main(int argc, char** argv) { return benchmarks::run(argc, argv, fill); }
