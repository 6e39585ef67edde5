#include "peers/peers.hpp"
#include "peers/torch_eager.hpp"

namespace benchmarks {
namespace {

at::Tensor pearson(const at::Tensor& a, const at::Tensor& b, std::int64_t along) {
  return at::cosine_similarity(a - a.mean(along, true), b - b.mean(along, true), along);
}

at::Tensor correlation(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor&) {
  const at::Tensor q = at::softmax(student, 1), p = at::softmax(teacher, 1);
  return (1 - pearson(q, p, 1)).mean() + (1 - pearson(q, p, 0)).mean();
}

at::Tensor universal_logit(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor&) {
  const auto sorted = [](const at::Tensor& logits) {
    return std::get<0>(at::softmax(logits, 1).sort(1, true));
  };
  return (sorted(student) - sorted(teacher)).abs().sum() / static_cast<double>(student.size(0));
}

/// Over the pairs of the teacher's k largest logits.
template <class PairLoss>
auto ranking(std::int64_t k, PairLoss loss) {
  return [=](const at::Tensor& student, const at::Tensor& teacher, const at::Tensor&) {
    const at::Tensor z = student.gather(1, std::get<1>(teacher.topk(k, 1)));
    const at::Tensor upper = torch::ones({k, k}).triu(1);
    return (loss(z.unsqueeze(2) - z.unsqueeze(1)) * upper).sum() /
           (static_cast<double>(k * (k - 1) / 2) * static_cast<double>(student.size(0)));
  };
}

/// Rows of `positions` to a sample, the first channels beside the others.
auto fsp(std::int64_t positions, std::int64_t first) {
  return [=](const at::Tensor& student, const at::Tensor& teacher, const at::Tensor&) {
    const auto gram = [=](const at::Tensor& maps) {
      const auto samples = maps.view({-1, positions, maps.size(1)});
      const auto before = samples.slice(2, 0, first), after = samples.slice(2, first);
      return at::bmm(before.transpose(1, 2), after) / static_cast<double>(positions);
    };
    return at::mse_loss(gram(student), gram(teacher));
  };
}

}  // namespace

peer_list<float> torch_fsp(std::size_t positions, std::size_t first) {
  return {torch_eager("torch_eager", oracle::fsp(positions, first),
                      fsp(static_cast<std::int64_t>(positions), static_cast<std::int64_t>(first)))};
}
peer_list<float> torch_correlation() {
  return {torch_eager("torch_correlation", oracle::correlation(), correlation)};
}
peer_list<float> torch_universal_logit() {
  return {torch_eager("torch_universal_logit", oracle::universal_logit(), universal_logit)};
}
peer_list<float> torch_ranking(std::size_t classes) {
  const auto k = static_cast<std::int64_t>(classes);
  return {torch_eager("torch_hinge", oracle::ranking_hinge(classes),
                      ranking(k, [](const at::Tensor& x) { return (1 - x).clamp_min(0); })),
          torch_eager("torch_logistic", oracle::ranking_logistic(classes),
                      ranking(k, [](const at::Tensor& x) { return at::softplus(-x); }))};
}

}  // namespace benchmarks
