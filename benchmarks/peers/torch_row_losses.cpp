#include "peers/peers.hpp"
#include "peers/torch_eager.hpp"

namespace benchmarks {
namespace {

constexpr double temperature = 2.0;

/// T^2 KL(p || q), the mean over rows.
at::Tensor kl(const at::Tensor& log_q, const at::Tensor& log_p) {
  const auto rows = static_cast<double>(log_q.size(0));
  return (log_p.exp() * (log_p - log_q)).sum() * (temperature * temperature / rows);
}

at::Tensor log_softmax(const at::Tensor& logits) { return at::log_softmax(logits / temperature, 1); }

at::Tensor decoupled_kl(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& labels) {
  const auto at_label = at::zeros_like(teacher).scatter_(1, labels.unsqueeze(1), 1);
  const auto label_and_rest = [&](const at::Tensor& logits) {
    const auto p = (at::softmax(logits / temperature, 1) * at_label).sum(1);
    return at::stack({p, 1 - p}, 1).log();
  };
  const auto rest = [&](const at::Tensor& logits) { return log_softmax(logits - 1000 * at_label); };
  return kl(label_and_rest(student), label_and_rest(teacher)) + 8 * kl(rest(student), rest(teacher));
}

at::Tensor standardized_kl(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor&) {
  const auto standardized = [](const at::Tensor& logits) {
    return (logits - logits.mean(1, true)) / (logits.std(1, true, true) + 1e-7);
  };
  return kl(log_softmax(standardized(student)), log_softmax(standardized(teacher)));
}

at::Tensor taid_kl(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor&) {
  return kl(log_softmax(student), log_softmax(0.5 * student.detach() + 0.5 * teacher));
}

at::Tensor corrected_kl(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor& labels) {
  const auto p = at::softmax(teacher / temperature, 1);
  const auto own = labels.unsqueeze(1), p_label = p.gather(1, own);
  const auto short_by = std::get<0>(p.scatter(1, own, 0).max(1, true)) - p_label;
  const auto share = ((short_by + 0.2) / (1 + short_by)).clamp_min(0);
  const auto target = (p * (1 - share)).scatter_add(1, own, share);
  return kl(log_softmax(student), target.log());
}

at::Tensor adaptive_kl(const at::Tensor& student, const at::Tensor& teacher, const at::Tensor&) {
  const auto log_p = log_softmax(teacher), log_q = log_softmax(student);
  const auto p = log_p.exp(), q = log_q.exp();
  const auto [sorted, order] = p.sort(1, true);
  const auto is_in_head = (sorted.cumsum(1) - sorted) < 0.5;
  const auto gap = (p - q.detach()).abs();
  const auto w = (gap.gather(1, order) * is_in_head).sum(1) / gap.sum(1);
  const auto forward = (p * (log_p - log_q)).sum(1), reverse = (q * (log_q - log_p)).sum(1);
  return (w * forward + (1 - w) * reverse).mean() * (temperature * temperature);
}

}  // namespace

peer_list<float> torch_row_losses() {
  return {torch_eager("torch_decoupled_kl", oracle::decoupled_kl(2, 1, 8), decoupled_kl),
          torch_eager("torch_standardized_kl", oracle::standardized_kl(2), standardized_kl),
          torch_eager("torch_taid_kl", oracle::taid_kl(2, 0.5L), taid_kl),
          torch_eager("torch_corrected_kl", oracle::corrected_kl(2, 0.2L), corrected_kl),
          torch_eager("torch_adaptive_kl", oracle::adaptive_kl(2, 0.5L), adaptive_kl)};
}

}  // namespace benchmarks
