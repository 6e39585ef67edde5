// The gradient of a row, finished while the next row is read.
//
// It is a linear combination of two or three scratch rows: the exponentials a row leaves behind, and where
// needed what was added up beside them. The next row's exponentials go over the same scratch, position by
// position, and just before a position is overwritten this row's gradient is finished there: reading,
// arithmetic and writing overlap.
#if defined(DISTILL_SIMD_ROW_GRADIENT_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_ROW_GRADIENT_INL_HPP
#undef DISTILL_SIMD_ROW_GRADIENT_INL_HPP
#else
#define DISTILL_SIMD_ROW_GRADIENT_INL_HPP
#endif

#include <distill/loss/row_job.hpp>
#include <distill/simd/row_memory-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::row_job;

inline constexpr size_t kNoClass = ~size_t{0};

// gradient = others * other_factor + exponentials * teacher_factor (+ third * third_factor + shift), and at
// one class
// - label_share.
struct GradientRecipe {
  double other_factor = 0, teacher_factor = 0;
  bool third = false;
  double third_factor = 1, shift = 0;
  size_t label = kNoClass;
  double label_share = 0;
};

template <class D, class Gradient>
class RowGradient {
  using T = Real<D>;
  using V = hn::Vec<D>;
  static constexpr D d{};

 public:
  RowGradient(const row_job& job, T* scratch)
      : job_(job), n_(job.classes()), exponentials_(scratch), others_(scratch + job.scratch.pitch) {
    if (job.scratch.third >= 0) third_ = scratch + static_cast<size_t>(job.scratch.third) * job.scratch.pitch;
    if (job.scratch.gradient >= 0)
      copy_ = scratch + static_cast<size_t>(job.scratch.gradient) * job.scratch.pitch;
  }

  // What finishing a vector needs, as values: stores of floats could change the members behind it.
  template <bool kThird>
  struct Finish {
    const T* exponentials;
    const T* others;
    const T* third;
    Gradient* gradient;
    V other_factor, teacher_factor, third_factor, shift;

    template <bool kBypass>
    HWY_INLINE void Vector(size_t j) const {
      const V g = Slope([](const T* p) HWY_ATTR { return hn::LoadU(d, p); }, j);
      if constexpr (kBypass)
        hn::Stream(g, d, reinterpret_cast<T*>(gradient) + j);
      else
        StoreAs(d, g, gradient + j);
    }
    HWY_INLINE void Part(size_t j, size_t count) const {
      const V g = Slope([count](const T* p) HWY_ATTR { return LoadPart(d, p, count); }, j);
      StorePart(d, g, gradient + j, count);
    }

   private:
    template <class Load>
    HWY_INLINE V Slope(Load load, size_t j) const {
      const V e = load(exponentials + j), other = load(others + j);
      if constexpr (kThird)
        return hn::MulAdd(other, other_factor,
                          hn::MulAdd(e, teacher_factor, hn::MulAdd(load(third + j), third_factor, shift)));
      else
        return hn::MulAdd(other, other_factor, hn::Mul(e, teacher_factor));
    }
  };

  template <bool kThird>
  HWY_INLINE Finish<kThird> Finishing() const {
    return {exponentials_,
            others_,
            third_,
            gradient_,
            hn::Set(d, other_factor_),
            hn::Set(d, teacher_factor_),
            hn::Set(d, third_factor_),
            hn::Set(d, shift_)};
  }

  bool IsPending() const { return pending_; }
  bool HasThird() const { return has_third_; }
  bool BypassesCache() const { return bypass_; }
  // Stores past the cache need alignment, so such a row is finished ahead of the next row's reading by this
  // much.
  size_t Head() const { return head_; }

  void FinishHead() {
    if (head_ == 0) return;
    if (has_third_)
      Finishing<true>().Part(0, head_);
    else
      Finishing<false>().Part(0, head_);
  }
  // From position j on.
  void FinishRest(size_t j) {
    if (has_third_)
      FinishRestAs<true>(j);
    else
      FinishRestAs<false>(j);
  }
  void FinishAlone() {
    FinishHead();
    FinishRest(head_);
  }

  void Start(size_t row, const GradientRecipe& recipe) {
    pending_ = true;
    row_ = row;
    other_factor_ = static_cast<T>(recipe.other_factor);
    teacher_factor_ = static_cast<T>(recipe.teacher_factor);
    has_third_ = recipe.third;
    third_factor_ = static_cast<T>(recipe.third_factor);
    shift_ = static_cast<T>(recipe.shift);
    label_ = recipe.label;
    label_share_ = static_cast<T>(recipe.label_share);
    if constexpr (std::is_same_v<Gradient, T>) gradient_ = copy_;
    if (copy_ == nullptr)
      gradient_ =
          static_cast<Gradient*>(job_.gradient.data) + static_cast<ptrdiff_t>(row) * job_.gradient.row_stride;
    bypass_ = job_.bypass_cache && copy_ == nullptr && sizeof(Gradient) == sizeof(T);
    constexpr size_t kBytes = sizeof(V);
    const auto address = reinterpret_cast<uintptr_t>(gradient_);
    bypass_ = bypass_ && address % sizeof(T) == 0;
    head_ = bypass_ ? HWY_MIN(n_, (kBytes - address % kBytes) % kBytes / sizeof(T)) : 0;
  }

 private:
  template <bool kThird>
  HWY_NOINLINE void FinishRestAs(size_t j) {
    const auto finish = Finishing<kThird>();
    for (; j + hn::Lanes(d) <= n_; j += hn::Lanes(d)) finish.template Vector<false>(j);
    if (j < n_) finish.Part(j, n_ - j);
    Commit();
  }

  // A gradient that could not be written in place goes to the caller now.
  void Commit() {
    pending_ = false;
    if constexpr (std::is_same_v<Gradient, T>) {
      if (label_ != kNoClass) gradient_[label_] -= label_share_;
      if (copy_ != nullptr) StoreRow(job_.gradient, row_, copy_, job_.accumulate);
    }
  }

  const row_job& job_;
  const size_t n_;
  const T* const exponentials_;
  const T* const others_;
  const T* third_ = nullptr;
  T* copy_ = nullptr;

  bool pending_ = false, bypass_ = false, has_third_ = false;
  size_t row_ = 0, head_ = 0, label_ = kNoClass;
  Gradient* gradient_ = nullptr;
  T other_factor_ = 0, teacher_factor_ = 0, third_factor_ = 0, shift_ = 0, label_share_ = 0;
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
