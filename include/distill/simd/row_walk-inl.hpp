// The walk over one contiguous row: what is computed at each vector is summed, and written where there is a
// place for it.
#if defined(DISTILL_SIMD_ROW_WALK_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_ROW_WALK_INL_HPP
#undef DISTILL_SIMD_ROW_WALK_INL_HPP
#else
#define DISTILL_SIMD_ROW_WALK_INL_HPP
#endif

#include <distill/simd/row_memory-inl.hpp>
#include <distill/simd/sums-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class D>
HWY_INLINE hn::Vec<D> LoadFirst(D d, const Real<D>* p, size_t count) {
  return count == hn::Lanes(d) ? hn::LoadU(d, p) : LoadPart(d, p, count);
}
template <class D>
HWY_INLINE void StoreFirst(D d, hn::Vec<D> v, Real<D>* p, size_t count) {
  if (count == hn::Lanes(d))
    hn::StoreU(v, d, p);
  else
    StorePart(d, v, p, count);
}

// Calls f(j, count, sum) for every vector of a row, count < Lanes(d) only at its ends, and returns what f
// added to the sums; where a gradient row is given, f returns its vector.
template <class D>
class RowWalk {
  using T = Real<D>;
  using V = hn::Vec<D>;
  static constexpr D d{};

 public:
  RowWalk(size_t n, T* gradient, bool add, bool bypass)
      : n_(n), gradient_(gradient), add_(add), bypass_(bypass) {}

  template <class F>
  HWY_INLINE double Run(F f) {
    if (gradient_ == nullptr) return Walk<kNothing>(f);
    if (add_) return Walk<kAdd>(f);
    if (!bypass_) return Walk<kStore>(f);
    const size_t lanes = hn::Lanes(d), bytes = lanes * sizeof(T);
    const size_t past = reinterpret_cast<uintptr_t>(gradient_) % bytes;
    const size_t head = past == 0 ? 0 : HWY_MIN(n_, (bytes - past) / sizeof(T));
    return Walk<kStream>(f, head);
  }

 private:
  enum Action { kNothing, kStore, kAdd, kStream };

  template <Action kAction, class F>
  HWY_INLINE void One(F& f, size_t j, size_t count, V& sum) {
    const V v = f(j, count, sum);
    if constexpr (kAction == kStore) StoreFirst(d, v, gradient_ + j, count);
    if constexpr (kAction == kAdd)
      StoreFirst(d, hn::Add(v, LoadFirst(d, gradient_ + j, count)), gradient_ + j, count);
    if constexpr (kAction == kStream) {
      if (count == hn::Lanes(d))
        hn::Stream(v, d, gradient_ + j);
      else
        StorePart(d, v, gradient_ + j, count);
    }
  }

  template <Action kAction, class F>
  HWY_INLINE double Walk(F& f, size_t head = 0) {
    const size_t lanes = hn::Lanes(d);
    WideSum<D> total(d);
    V sum0 = hn::Zero(d), sum1 = hn::Zero(d);
    size_t j = head;
    if (head > 0) One<kAction>(f, 0, head, sum0);
    while (j + lanes <= n_) {
      const size_t end = HWY_MIN(n_, j + kBlockVectors * lanes);
      for (; j + 2 * lanes <= end; j += 2 * lanes) {
        One<kAction>(f, j, lanes, sum0);
        One<kAction>(f, j + lanes, lanes, sum1);
      }
      if (j + lanes <= end) {
        One<kAction>(f, j, lanes, sum0);
        j += lanes;
      }
      total.Add(d, hn::Add(sum0, sum1));
      sum0 = sum1 = hn::Zero(d);
    }
    if (j < n_) One<kAction>(f, j, n_ - j, sum0);
    total.Add(d, sum0);
    return total.Total(d);
  }

  const size_t n_;
  T* const gradient_;
  const bool add_, bypass_;
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
