// Any losses at one pair of temperatures, on contiguous rows in float: one visit of a row for all of them.
//
// The row is exponentiated once, while the gradient of the row before is finished (see pair_rows-inl.hpp).
// Forward KL has its value and gradient from that; every other loss makes a pass over the exponentials in
// cache, for its value and q u. Those go where the next row's reading will find them: a single loss puts them
// over the teacher's exponentials, which it no longer needs; several add up in a third scratch row.
#if defined(DISTILL_SIMD_OBJECTIVE_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_OBJECTIVE_ROWS_INL_HPP
#undef DISTILL_SIMD_OBJECTIVE_ROWS_INL_HPP
#else
#define DISTILL_SIMD_OBJECTIVE_ROWS_INL_HPP
#endif

#include <distill/simd/loss_kernels-inl.hpp>
#include <distill/simd/pair_rows-inl.hpp>
#include <optional>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The term whose temperatures are those of all that compare teacher and student.
HWY_INLINE const loss_term& PairTermOf(const row_job& job) {
  size_t i = 0;
  while (!job.terms[i].compares_distributions()) ++i;
  return job.terms[i];
}

template <class D>
class ObjectiveRows : private PairRows<D, Real<D>, Real<D>, Real<D>> {
  using Base = PairRows<D, Real<D>, Real<D>, Real<D>>;
  using Base::d;
  using Base::exponentials_;
  using Base::gradient_;
  using Base::job_;
  using Base::n_;
  using Base::others_;
  using Base::pair_;
  using typename Base::EvaluatedRow;
  using typename Base::T;
  using typename Base::V;

 public:
  ObjectiveRows(const row_job& job, T* scratch)
      : Base(job, PairTermOf(job), scratch),
        has_gradient_(job.gradient.data != nullptr),
        in_place_(job.term_count == 1),
        stores_(has_gradient_) {
    if (job.scratch.third >= 0) third_ = scratch + static_cast<size_t>(job.scratch.third) * job.scratch.pitch;
    for (size_t i = 0; i < job.term_count; ++i) {
      const loss_kind kind = job.terms[i].kind;
      const bool compares = job.terms[i].compares_distributions();
      stores_ = stores_ || (compares && kind != loss_kind::forward_kl);
      shares_third_ = shares_third_ || kind == loss_kind::logit_mse ||
                      (compares && kind != loss_kind::forward_kl && kind != loss_kind::soft_cross_entropy);
      this->always_close_ = this->always_close_ || !HasApartForm(job.terms[i]);
    }
  }

  void Run(size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) {
      if (job_.weight(row) == 0)
        Skip(row);
      else if (stores_)
        Row<true>(row);
      else
        Row<false>(row);
    }
    if (gradient_.IsPending()) gradient_.FinishAlone();
    if (job_.bypass_cache) hwy::FlushStream();
  }

 private:
  void Skip(size_t row) {
    for (size_t term = 0; term < job_.term_count; ++term) job_.loss(term, row) = 0;
    if (has_gradient_ && !job_.accumulate) StoreZeroRow(job_.gradient, row);
  }

  template <bool kStore>
  void Row(size_t row) {
    EvaluatedRow r = this->template Evaluate<kStore>(row);
    GradientRecipe recipe;
    bool resolved = Terms(row, r, recipe);
    if (!resolved && r.form == Form::kApart && close_) {
      this->template Stream<Form::kClose, kStore>(r);
      recipe = {};
      resolved = Terms(row, r, recipe);
    }
    if (!resolved)
      job_.loss(0, row) = std::nan("");
    else if (has_gradient_)
      gradient_.Start(row, recipe);
  }

  // Values of all terms, and what the gradient is made of. False if the row has to be evaluated another way.
  bool Terms(size_t row, const EvaluatedRow& r, GradientRecipe& recipe) {
    close_ = false;
    if (!IsResolved(r.result)) return false;
    // What has exponentials of its own comes first: it finds the third row unused.
    for (size_t i = 0; i < job_.term_count; ++i)
      if (job_.terms[i].needs_labels() && !Resolve(i, row, r, recipe)) return false;
    for (size_t i = 0; i < job_.term_count; ++i)
      if (!job_.terms[i].needs_labels() && !Resolve(i, row, r, recipe)) return false;
    return true;
  }

  HWY_NOINLINE const loss_term& AtRow(size_t i, size_t row) {
    if (!at_row_[i]) at_row_[i].emplace(job_.terms[i]);
    return at_row_[i]->at(row);
  }

  bool Resolve(size_t i, size_t row, const EvaluatedRow& r, GradientRecipe& recipe) {
    const loss_term& term = job_.terms[i].varies_by_row() ? AtRow(i, row) : job_.terms[i];
    double& loss = job_.loss(i, row);
    loss = 0;
    if (!job_.counts(term, row)) return true;
    const double factor = job_.factors[i] * static_cast<double>(job_.weight(row));
    const double slope = factor * term.scale() / term.temperature;
    switch (term.kind) {
      case loss_kind::cross_entropy:
        loss = CrossEntropy(term, row, r, slope, recipe);
        break;
      case loss_kind::logit_mse:
        loss = LogitMse(r, factor, recipe);
        break;
      default:
        loss = term.scale() * Divergence(term, r, slope, recipe);
        if (loss < 0) loss = 0;  // rounding may leave a value of nearly 0 below it; NaN stays
    }
    return std::isfinite(loss) && !close_;
  }

  // ---- divergences

  double Divergence(const loss_term& term, const EvaluatedRow& r, double slope, GradientRecipe& recipe) {
    const bool forward = term.kind == loss_kind::forward_kl;
    if (forward || term.kind == loss_kind::soft_cross_entropy) {  // the gradient is slope * (q - p)
      recipe.other_factor += slope * r.result.other_norm;
      recipe.teacher_factor += slope * r.result.teacher_norm;
    }
    if (forward) return r.result.log_ratio + std::log1p(r.result.excess);
    const LossKernels<T>& kernels = KernelsOf<T>(term);
    const double value = r.form == Form::kApart ? Apart(kernels, term, r, slope, recipe)
                                                : Close(kernels, term, r, slope, recipe);
    close_ = r.form == Form::kApart && value < CloseValueOf(term);
    return value;
  }

  // What a pass does with its slopes.
  Slopes Claim(GradientRecipe& recipe) const {
    if (!has_gradient_) return Slopes::kNone;
    if (in_place_) return Slopes::kWrite;
    return std::exchange(recipe.third, true) ? Slopes::kAdd : Slopes::kWrite;
  }
  ExponentiatedRow<T> RowOf(const EvaluatedRow& r) const {
    return {r.z, r.t, n_, exponentials_, others_, in_place_ ? exponentials_ : third_, in_place_};
  }

  double Apart(const LossKernels<T>& kernels, const loss_term& term, const EvaluatedRow& r, double slope,
               GradientRecipe& recipe) {
    const double norm = 1 / r.sums.teacher, unit = kernels.apart_slope_unit;
    const Slopes slopes = unit == 0 ? Slopes::kNone : Claim(recipe);
    const double k = slope * norm * unit;
    const PassSums sums = kernels.apart(term, slopes, RowOf(r), r.scale, r.sums, k);
    recipe.other_factor -= k * sums.slope / r.sums.other;
    if (in_place_ && slopes != Slopes::kNone) recipe.teacher_factor = 1;
    return sums.value * norm * kernels.apart_value_unit;
  }

  double Close(const LossKernels<T>& kernels, const loss_term& term, const EvaluatedRow& r, double slope,
               GradientRecipe& recipe) {
    const bool linear = term.kind == loss_kind::soft_cross_entropy;
    const PairNorms norms = NormsOf(r.sums.teacher, r.sums.other);
    const Slopes slopes = linear ? Slopes::kNone : Claim(recipe);
    const PassSums sums = kernels.close(term, slopes, RowOf(r), r.scale, norms, slope);
    if (slopes == Slopes::kNone) return sums.value;
    const double shift = slope * sums.slope * norms.student_norm;  // on the student's exponential, s = e + D
    recipe.other_factor -= shift;
    recipe.teacher_factor -= shift;
    if (in_place_) recipe = {.other_factor = -slope * sums.slope, .teacher_factor = 1};
    return sums.value;
  }

  // ---- losses of their own

  double CrossEntropy(const loss_term& term, size_t row, const EvaluatedRow& r, double slope,
                      GradientRecipe& recipe) {
    const auto label = static_cast<size_t>(term.labels[row]);
    recipe.label = label;
    recipe.label_share = slope * (1 - term.label_smoothing);
    if (term.temperature == pair_.at(row).temperature && term.label_smoothing == 0) {
      const bool close = r.form == Form::kClose;
      const double sum = close ? r.sums.teacher + r.sums.other : r.sums.other;
      const double origin = close ? static_cast<double>(r.scale.teacher_origin) - r.scale.Log2RatioOrigin()
                                  : static_cast<double>(r.scale.student_origin);
      const double own =
          static_cast<double>(r.z[label]) * static_cast<double>(r.scale.student_scale) + origin;
      const double value = kLn2 * (std::log2(sum) - own);
      if (!(value < kCloseValue)) {
        recipe.other_factor += slope / sum;
        recipe.teacher_factor += close ? slope / sum : 0;
        return value;
      }
    }
    return OwnSoftmax(term, label, r, slope, recipe);
  }

  // Cross-entropy from exponentials of its own, in the third row.
  double OwnSoftmax(const loss_term& term, size_t label, const EvaluatedRow& r, double slope,
                    GradientRecipe& recipe) {
    const double smoothing = term.label_smoothing, classes = static_cast<double>(n_);
    const SoftmaxSums sums =
        smoothing > 0
            ? (has_gradient_ ? ExponentiatePass<true, true>(d, r.z, n_, term.temperature, third_)
                             : ExponentiatePass<true, false>(d, r.z, n_, term.temperature, third_))
            : (has_gradient_ ? ExponentiatePass<false, true>(d, r.z, n_, term.temperature, third_)
                             : ExponentiatePass<false, false>(d, r.z, n_, term.temperature, third_));
    const double own = (static_cast<double>(r.z[label]) - sums.maximum) / term.temperature;
    double value = std::log(sums.exponentials) - (1 - smoothing) * own;
    if (smoothing > 0) value -= smoothing * sums.logits / (term.temperature * classes);
    recipe.third = true;
    recipe.third_factor = slope / sums.exponentials;
    recipe.shift = -slope * smoothing / classes;
    if (has_gradient_ && shares_third_) ScalePass(d, third_, n_, std::exchange(recipe.third_factor, 1.0));
    return value;
  }

  double LogitMse(const EvaluatedRow& r, double factor, GradientRecipe& recipe) const {
    return WithSlopes(Claim(recipe), [&](auto kind) HWY_ATTR {
      return SquaredDifferencePass<kind()>(d, RowOf(r), 2 * factor);
    });
  }

  const bool has_gradient_;
  const bool in_place_;        // a single loss
  bool stores_;                // exponentials
  bool shares_third_ = false;  // losses without labels put slopes there
  bool close_ = false;         // some value has to be evaluated in form kClose
  T* third_ = nullptr;
  std::optional<detail::row_term> at_row_[detail::most_terms];  // of those that vary
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
