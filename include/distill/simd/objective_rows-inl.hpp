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

#include <distill/simd/pair_rows-inl.hpp>
#include <distill/simd/pointwise_apart-inl.hpp>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What a pass does with its slopes.
enum class Slopes { kNone, kWrite, kAdd };

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
  using typename Base::EvaluatedRow;
  using typename Base::T;
  using typename Base::V;

 public:
  ObjectiveRows(const row_job& job, T* scratch)
      : Base(job, PairTermOf(job), scratch),
        pair_(PairTermOf(job)),
        has_gradient_(job.gradient.data != nullptr),
        in_place_(job.term_count == 1),
        stores_(has_gradient_) {
    if (job.scratch.third >= 0) third_ = scratch + static_cast<size_t>(job.scratch.third) * job.scratch.pitch;
    for (size_t i = 0; i < job.term_count; ++i) {
      stores_ =
          stores_ || (job.terms[i].compares_distributions() && job.terms[i].kind != loss_kind::forward_kl);
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
    // What needs a softmax of its own comes first: it leaves its exponentials as they are in the third row.
    for (size_t i = 0; i < job_.term_count; ++i)
      if (job_.terms[i].needs_labels() && !Resolve(i, row, r, recipe)) return false;
    for (size_t i = 0; i < job_.term_count; ++i)
      if (!job_.terms[i].needs_labels() && !Resolve(i, row, r, recipe)) return false;
    return true;
  }

  bool Resolve(size_t i, size_t row, const EvaluatedRow& r, GradientRecipe& recipe) {
    const loss_term& term = job_.terms[i];
    double& loss = job_.loss(i, row);
    loss = 0;
    if (!job_.counts(term, row)) return true;
    const double factor = job_.factors[i] * static_cast<double>(job_.weight(row));
    const double slope = factor * term.scale() / term.temperature;
    switch (term.kind) {
      case loss_kind::cross_entropy:
        loss = CrossEntropy(term, static_cast<size_t>(term.labels[row]), r, slope, recipe);
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
    const double value = term.temperature == term.teacher_temperature
                             ? Divergence<true>(term, r, slope, recipe)
                             : Divergence<false>(term, r, slope, recipe);
    close_ = r.form == Form::kApart && value < CloseValueOf(term);
    return value;
  }

  template <bool kSame>
  double Divergence(const loss_term& term, const EvaluatedRow& r, double slope, GradientRecipe& recipe) {
    double value = 0;
    if (r.form == Form::kApart)
      WithApart(term, [&](auto op) HWY_ATTR { value = Apart<kSame>(op, r, slope, recipe); });
    else
      WithPointwise(term, [&](auto op) HWY_ATTR { value = Close<kSame>(op, r, slope, recipe); });
    return value;
  }

  // Where a pass puts its slopes, and how.
  Slopes Claim(GradientRecipe& recipe) const {
    if (!has_gradient_) return Slopes::kNone;
    if (in_place_) return Slopes::kWrite;
    return std::exchange(recipe.third, true) ? Slopes::kAdd : Slopes::kWrite;
  }
  T* Target() const { return in_place_ ? exponentials_ : third_; }

  template <Slopes kSlopes>
  HWY_INLINE static void Put(V slope, V k, T* out) {
    if constexpr (kSlopes == Slopes::kWrite) hn::StoreU(hn::Mul(slope, k), d, out);
    if constexpr (kSlopes == Slopes::kAdd) hn::StoreU(hn::MulAdd(slope, k, hn::LoadU(d, out)), d, out);
  }

  struct PassSums {
    double value, slope;
  };

  template <bool kSame, class Op>
  double Apart(Op op, const EvaluatedRow& r, double slope, GradientRecipe& recipe) {
    const double norm = 1 / r.sums.teacher;
    if constexpr (Op::kSlopeUnit == 0) {
      return ApartPass<kSame, Slopes::kNone>(op, r, 0).value * norm * Op::kValueUnit;
    } else {
      const Slopes slopes = Claim(recipe);
      const double k = slope * norm * Op::kSlopeUnit / recipe.third_factor;
      const PassSums sums = slopes == Slopes::kWrite ? ApartPass<kSame, Slopes::kWrite>(op, r, k)
                            : slopes == Slopes::kAdd ? ApartPass<kSame, Slopes::kAdd>(op, r, k)
                                                     : ApartPass<kSame, Slopes::kNone>(op, r, k);
      recipe.other_factor -= slope * sums.slope * norm * Op::kSlopeUnit / r.sums.other;
      if (in_place_) recipe.teacher_factor = 1;
      return sums.value * norm * Op::kValueUnit;
    }
  }

  // Σ f and Σ s u.
  template <bool kSame, Slopes kSlopes, class Op>
  HWY_NOINLINE PassSums ApartPass(Op op, const EvaluatedRow& r, double factor) const {
    const auto set = [](double v) HWY_ATTR { return hn::Set(d, static_cast<T>(v)); };
    const double ratio = r.sums.teacher / r.sums.other;
    const V k = set(factor), rescale = set(ratio), log2_sum = set(std::log2(r.sums.teacher));
    const auto scale = VectorsOf(d, r.scale);
    const double origin = static_cast<double>(r.scale.student_origin) + std::log2(ratio);
    const V student_origin = set(origin),
            ratio_origin = set(origin - static_cast<double>(r.scale.teacher_origin));
    const T* const e = exponentials_;
    const T* const s = others_;
    T* const out = Target();
    WideSum<D> value(d), slope(d);
    V value_block = hn::Zero(d), slope_block = hn::Zero(d);
    ForEachVector(
        d, n_,
        [&](size_t j, size_t count) HWY_ATTR {
          const V t = LoadLogits(d, r.t + j, count), z = LoadLogits(d, r.z + j, count);
          const ScaledPair<V> pair{
              hn::LoadU(d, e + j),
              hn::Mul(hn::LoadU(d, s + j), rescale),
              hn::MulAdd(t, scale.teacher_scale, scale.teacher_origin),
              hn::MulAdd(z, scale.student_scale, student_origin),
              kSame ? hn::MulAdd(hn::Sub(z, t), scale.teacher_scale, ratio_origin)
                    : hn::NegMulAdd(t, scale.teacher_scale, hn::MulAdd(z, scale.student_scale, ratio_origin)),
              log2_sum};
          V f, su;
          op(d, pair, f, su);
          value_block = hn::Add(value_block, f);
          slope_block = hn::Add(slope_block, su);
          Put<kSlopes>(su, k, out + j);
        },
        [&]() HWY_ATTR {
          value.Add(d, value_block);
          slope.Add(d, slope_block);
          value_block = slope_block = hn::Zero(d);
        });
    return {value.Total(d), slope.Total(d)};
  }

  template <bool kSame, class Op>
  double Close(Op op, const EvaluatedRow& r, double slope, GradientRecipe& recipe) {
    const PairNorms norms = NormsOf(r.sums.teacher, r.sums.other);
    if constexpr (std::is_same_v<Op, SoftCrossEntropy>) {
      return ClosePass<kSame, Slopes::kNone>(op, r, norms, 0).value;
    } else {
      const Slopes slopes = Claim(recipe);
      const double k = slope / recipe.third_factor;
      const PassSums sums = slopes == Slopes::kWrite ? ClosePass<kSame, Slopes::kWrite>(op, r, norms, k)
                            : slopes == Slopes::kAdd ? ClosePass<kSame, Slopes::kAdd>(op, r, norms, k)
                                                     : ClosePass<kSame, Slopes::kNone>(op, r, norms, k);
      const double shift =
          slope * sums.slope * norms.student_norm;  // on the student's exponential, s = e + D
      recipe.other_factor -= shift;
      recipe.teacher_factor -= shift;
      if (in_place_) recipe = {.other_factor = -slope * sums.slope, .teacher_factor = 1};
      return sums.value;
    }
  }

  // Σ f and Σ q u. In place, q goes over the differences.
  template <bool kSame, Slopes kSlopes, class Op>
  HWY_NOINLINE PassSums ClosePass(Op op, const EvaluatedRow& r, const PairNorms& norms, double factor) const {
    const V k = hn::Set(d, static_cast<T>(factor));
    const bool keeps_q = in_place_ && kSlopes != Slopes::kNone;
    T* const out = Target();
    WideSum<D> value(d), slope(d);
    V value_block = hn::Zero(d), slope_block = hn::Zero(d);
    ForEachProbability<Form::kClose, kSame>(
        d, RowView<T>{r.z, r.t, nullptr, n_, false}, r.scale, norms,
        RowScratch<T>{exponentials_, others_, nullptr},
        [&](size_t j, size_t, const Probabilities<V>& x) HWY_ATTR {
          V f, qu;
          op(d, x, f, qu);
          value_block = hn::Add(value_block, f);
          slope_block = hn::Add(slope_block, qu);
          Put<kSlopes>(qu, k, out + j);
          if (keeps_q) hn::StoreU(x.q, d, others_ + j);
        },
        [&]() HWY_ATTR {
          value.Add(d, value_block);
          slope.Add(d, slope_block);
          value_block = slope_block = hn::Zero(d);
        });
    return {value.Total(d), slope.Total(d)};
  }

  // ---- losses of their own

  double CrossEntropy(const loss_term& term, size_t label, const EvaluatedRow& r, double slope,
                      GradientRecipe& recipe) {
    recipe.label = label;
    recipe.label_share = slope * (1 - term.label_smoothing);
    if (term.temperature == pair_.temperature && term.label_smoothing == 0) {
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
    const bool store = has_gradient_ && slope != 0;
    if (term.label_smoothing > 0)
      return store ? OwnSoftmax<true, true>(term, label, r, slope, recipe)
                   : OwnSoftmax<false, true>(term, label, r, slope, recipe);
    return store ? OwnSoftmax<true, false>(term, label, r, slope, recipe)
                 : OwnSoftmax<false, false>(term, label, r, slope, recipe);
  }

  // Cross-entropy from exponentials of its own.
  template <bool kStore, bool kSmoothed>
  HWY_NOINLINE double OwnSoftmax(const loss_term& term, size_t label, const EvaluatedRow& r, double slope,
                                 GradientRecipe& recipe) const {
    const T maximum = MaximumOrZero(d, r.z, n_);
    const V scale = hn::Set(d, static_cast<T>(kLog2e / term.temperature)), reference = hn::Set(d, maximum);
    T* const out = third_;
    WideSum<D> sum(d), logits(d);
    V block = hn::Zero(d), logit_block = hn::Zero(d);
    ForEachVector(
        d, n_,
        [&](size_t j, size_t count) HWY_ATTR {
          const V x = hn::Sub(LoadLogits(d, r.z + j, count), reference);
          const V e = Exp2Fast(d, hn::Mul(x, scale));
          if constexpr (kStore) hn::StoreU(e, d, out + j);
          block = hn::Add(block, e);
          if constexpr (kSmoothed)
            logit_block = hn::Add(logit_block, hn::IfThenElseZero(hn::FirstN(d, count), x));
        },
        [&]() HWY_ATTR {
          sum.Add(d, block);
          logits.Add(d, logit_block);
          block = logit_block = hn::Zero(d);
        });
    const double total = sum.Total(d), smoothing = term.label_smoothing, classes = static_cast<double>(n_);
    const double own = (static_cast<double>(r.z[label]) - static_cast<double>(maximum)) / term.temperature;
    double value = std::log(total) - (1 - smoothing) * own;
    if (kSmoothed) value -= smoothing * logits.Total(d) / (term.temperature * classes);
    if constexpr (kStore) {
      recipe.third = true;
      recipe.third_factor = slope / total;
      recipe.shift = -slope * smoothing / classes;
    }
    return value;
  }

  double LogitMse(const EvaluatedRow& r, double factor, GradientRecipe& recipe) const {
    const Slopes slopes = Claim(recipe);
    const double k = 2 * factor / recipe.third_factor;
    return slopes == Slopes::kWrite ? LogitMsePass<Slopes::kWrite>(r, k)
           : slopes == Slopes::kAdd ? LogitMsePass<Slopes::kAdd>(r, k)
                                    : LogitMsePass<Slopes::kNone>(r, k);
  }

  template <Slopes kSlopes>
  HWY_NOINLINE double LogitMsePass(const EvaluatedRow& r, double factor) const {
    const V k = hn::Set(d, static_cast<T>(factor));
    T* const out = third_;
    WideSum<D> sum(d);
    V block = hn::Zero(d);
    ForEachVector(
        d, n_,
        [&](size_t j, size_t count) HWY_ATTR {
          const V difference = hn::Sub(LoadUpTo(d, r.z + j, count), LoadUpTo(d, r.t + j, count));
          block = hn::MulAdd(difference, difference, block);
          Put<kSlopes>(difference, k, out + j);
        },
        [&]() HWY_ATTR {
          sum.Add(d, block);
          block = hn::Zero(d);
        });
    return sum.Total(d);
  }

  const loss_term& pair_;
  const bool has_gradient_;
  const bool in_place_;  // a single loss
  bool stores_;
  bool close_ = false;  // some value has to be evaluated in form kClose
  T* third_ = nullptr;
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
