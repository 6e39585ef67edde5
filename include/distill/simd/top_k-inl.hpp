// The k largest of a row with their indices, largest first, the lower index first among equals.
//
// One pass takes the maximum of each slot, a slot being every kSlots-th element. The k-th largest of these
// maxima is at most the k-th largest element, so what lies below it is out: a second pass compresses the
// rest, in the order of indices, and the few that remain are ranked by counting those ahead of them. No step
// depends on the data but for rows where many remain; those take a path whose cost is bounded, whatever they
// hold.
#if defined(DISTILL_SIMD_TOP_K_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TOP_K_INL_HPP
#undef DISTILL_SIMD_TOP_K_INL_HPP
#else
#define DISTILL_SIMD_TOP_K_INL_HPP
#endif

#include <cstdint>
#include <distill/simd/row_memory-inl.hpp>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Into the finite numbers, NaN to the lowest: then there is one order, and every formula has a finite value.
template <class D, class V>
HWY_INLINE V Finite(D d, V v) {
  using T = Real<D>;
  const V lowest = hn::Set(d, std::numeric_limits<T>::lowest()),
          most = hn::Set(d, std::numeric_limits<T>::max());
#if HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_NEON
  return hn::Min(hn::IfThenElse(hn::Gt(v, lowest), v, lowest), most);
#else
  return hn::Min(hn::Max(v, lowest), most);  // of two numbers of which one is NaN, the second
#endif
}

template <class T>
HWY_INLINE T FiniteScalar(T v) {
  constexpr T kLowest = std::numeric_limits<T>::lowest(), kMost = std::numeric_limits<T>::max();
  return v > kLowest ? HWY_MIN(v, kMost) : kLowest;
}

// Integers in the order of finite numbers; -0 equals 0. The two smallest integers stand for none.
template <class D, class V>
HWY_INLINE hn::Vec<hn::RebindToSigned<D>> OrderedKey(D d, V v) {
  const hn::RebindToSigned<D> di;
  const auto bits = hn::BitCast(di, hn::Add(v, hn::Zero(d)));
  const auto magnitude = hn::Set(di, std::numeric_limits<hwy::MakeSigned<Real<D>>>::max());
  return hn::Xor(bits, hn::And(hn::BroadcastSignBit(bits), magnitude));
}

// Adds 1 where the mask is set.
template <class DI, class VI, class M>
HWY_INLINE VI CountIf(DI di, VI count, M mask) {
#if HWY_TARGET <= HWY_AVX3
  return hn::IfThenElse(mask, hn::Add(count, hn::Set(di, 1)), count);
#else
  return hn::Sub(count, hn::VecFromMask(di, mask));
#endif
}

// Scratch of a selection: TopKScratchElements(n) of each.
template <class T>
struct TopKScratch {
  T* values;                 // what may be among the k largest
  hwy::MakeSigned<T>* ids;   // its indices
  hwy::MakeSigned<T>* keys;  // its order
};
constexpr size_t kTopKSlack = 2 * HWY_MAX_BYTES / 4;

// Elements of a row that reading to the end of a vector may pass: read as -infinity.
template <bool kPrepared, class D>
HWY_INLINE hn::Vec<D> LoadCandidates(D d, const Real<D>* row, size_t j, size_t n) {
  if constexpr (kPrepared) {  // finite, or -infinity for none, to the end of the last vector
    return hn::LoadU(d, row + j);
  } else {
    const size_t count = n - j;
    if (HWY_LIKELY(count >= hn::Lanes(d))) return Finite(d, hn::LoadU(d, row + j));
    return hn::IfThenElse(hn::FirstN(d, count), Finite(d, LoadPart(d, row + j, count)), hn::Neg(hn::Inf(d)));
  }
}

// N times 0, then N times 1: read from N - 1 - j on, 1 in the lanes after the j-th.
template <class TI, size_t N>
struct LaterLanes {
  TI at[2 * N] = {};
  constexpr LaterLanes() {
    for (size_t i = N; i < 2 * N; ++i) at[i] = 1;
  }
};

// From `count` candidates in the order of their indices, the ids of the k largest, sorted. k <= count.
template <class D>
HWY_INLINE void RankCandidates(D d, const TopKScratch<Real<D>>& s, size_t count, size_t k, int32_t* sorted) {
  using TI = hwy::MakeSigned<Real<D>>;
  const hn::RebindToSigned<D> di;
  constexpr size_t N = hn::MaxLanes(D());
  HWY_ALIGN static constexpr LaterLanes<TI, N> kLater;
  HWY_ALIGN TI ranks[N];
  if (count <= N && N >= 8) {
    const auto valid = hn::FirstN(di, count);
    const auto keys = hn::IfThenElse(valid, OrderedKey(d, hn::LoadU(d, s.values)),
                                     hn::Set(di, std::numeric_limits<TI>::min() + 1));
    hn::StoreU(keys, di, s.keys);
    auto rank = hn::Zero(di);
    for (size_t j = 0; j < N; ++j) {
      const auto mine = hn::Sub(keys, hn::LoadU(di, kLater.at + (N - 1 - j)));
      rank = CountIf(di, rank, hn::Gt(hn::Set(di, s.keys[j]), mine));
    }
    hn::Store(rank, di, ranks);
    HWY_ALIGN int32_t places[N];
    for (size_t i = 0; i < N; ++i) places[ranks[i]] = static_cast<int32_t>(s.ids[i]);
    for (size_t i = 0; i < k; ++i) sorted[i] = places[i];
    return;
  }
  for (size_t j = 0; j < count; j += N) hn::StoreU(OrderedKey(d, hn::LoadU(d, s.values + j)), di, s.keys + j);
  const auto one = hn::Set(di, TI{1});
  for (size_t b = 0; b < count; b += N) {
    const auto keys = hn::LoadU(di, s.keys + b), before = hn::Sub(keys, one);
    auto rank = hn::Zero(di);
    const size_t inside = HWY_MIN(b + N, count);
    for (size_t j = 0; j < b; ++j) rank = CountIf(di, rank, hn::Gt(hn::Set(di, s.keys[j]), before));
    for (size_t j = b; j < inside; ++j) {
      const auto mine = hn::Sub(keys, hn::LoadU(di, kLater.at + (N - 1 - (j - b))));
      rank = CountIf(di, rank, hn::Gt(hn::Set(di, s.keys[j]), mine));
    }
    for (size_t j = inside; j < count; ++j) rank = CountIf(di, rank, hn::Gt(hn::Set(di, s.keys[j]), keys));
    hn::Store(rank, di, ranks);
    for (size_t i = b; i < inside; ++i) {
      const auto place = static_cast<size_t>(ranks[i - b]);
      if (place < k) sorted[place] = static_cast<int32_t>(s.ids[i]);
    }
  }
}

template <class D>
HWY_INLINE size_t CountAbove(D d, const Real<D>* values, size_t count, Real<D> bound) {
  const size_t lanes = hn::Lanes(d);
  const hn::RebindToSigned<D> di;
  auto above = hn::Zero(di);
  const auto limit = hn::Set(d, bound);
  for (size_t j = 0; j < count; j += lanes) {
    auto mask = hn::Gt(hn::LoadU(d, values + j), limit);
    if (count - j < lanes) mask = hn::And(mask, hn::FirstN(d, count - j));
    above = CountIf(di, above, hn::RebindMask(di, mask));
  }
  return static_cast<size_t>(hn::GetLane(hn::SumOfLanes(di, above)));
}

// The k-th largest of the candidates: the bits of its key, from the highest down.
template <class D>
HWY_INLINE Real<D> KthLargest(D d, const TopKScratch<Real<D>>& s, size_t count, size_t k) {
  using T = Real<D>;
  using TU = hwy::MakeUnsigned<T>;
  using TI = hwy::MakeSigned<T>;
  const hn::RebindToSigned<D> di;
  const size_t lanes = hn::Lanes(d);
  constexpr TU kSign = TU{1} << (8 * sizeof(T) - 1);
  for (size_t j = 0; j < count; j += lanes)
    hn::StoreU(OrderedKey(d, hn::LoadU(d, s.values + j)), di, s.keys + j);
  TU found = 0;
  for (TU bit = kSign; bit != 0; bit >>= 1) {
    const auto bound = hn::Set(di, static_cast<TI>((found | bit) ^ kSign));
    auto at_least = hn::Zero(di);
    for (size_t j = 0; j < count; j += lanes) {
      auto below = hn::Gt(bound, hn::LoadU(di, s.keys + j));
      if (count - j < lanes) below = hn::Or(below, hn::Not(hn::FirstN(di, count - j)));
      at_least = CountIf(di, at_least, hn::Not(below));
    }
    if (static_cast<size_t>(hn::GetLane(hn::SumOfLanes(di, at_least))) >= k) found |= bit;
  }
  const auto key = static_cast<TI>(found ^ kSign);
  const TI bits = key < 0 ? static_cast<TI>(key ^ std::numeric_limits<TI>::max()) : key;
  T value;
  hwy::CopyBytes<sizeof(T)>(&bits, &value);
  return value;
}

// The same as RankCandidates where there are many: at most k - 1 are ranked, the others are equal. `pivot`, a
// candidate, is at most the k-th largest.
template <class D>
HWY_NOINLINE void RankManyCandidates(D d, const TopKScratch<Real<D>>& s, size_t count, size_t k,
                                     Real<D> pivot, int32_t* sorted) {
  size_t above = CountAbove(d, s.values, count, pivot);
  if (above >= k) {
    pivot = KthLargest(d, s, count, k);
    above = CountAbove(d, s.values, count, pivot);
  }
  for (size_t j = 0, equal = above; equal < k; ++j)
    if (s.values[j] == pivot) sorted[equal++] = static_cast<int32_t>(s.ids[j]);
  if (above == 0) return;
  for (size_t j = 0, kept = 0; kept < above; ++j) {
    s.values[kept] = s.values[j];
    s.ids[kept] = s.ids[j];
    kept += s.values[j] > pivot ? 1 : 0;
  }
  RankCandidates(d, s, above, above, sorted);
}

// Everything at least `pivot`, in the order of indices. Without an instruction that compresses, the few that
// remain are found from their bits.
template <bool kPrepared, class D>
HWY_INLINE size_t CompressCandidates(D d, const Real<D>* row, size_t n, Real<D> pivot,
                                     const TopKScratch<Real<D>>& s) {
  using T = Real<D>;
  using TI = hwy::MakeSigned<T>;
  const size_t lanes = hn::Lanes(d);
  const auto limit = hn::Set(d, pivot);
  size_t count = 0;
#if HWY_TARGET <= HWY_AVX3
  const hn::RebindToSigned<D> di;
  const auto step = hn::Set(di, static_cast<TI>(lanes));
  auto ids = hn::Iota(di, TI{0});
  for (size_t j = 0; j < n; j += lanes) {
    const auto v = LoadCandidates<kPrepared>(d, row, j, n);
    const auto mask = hn::Ge(v, limit);
    hn::StoreU(hn::Compress(v, mask), d, s.values + count);
    hn::StoreU(hn::Compress(ids, hn::RebindMask(di, mask)), di, s.ids + count);
    count += hn::CountTrue(d, mask);
    ids = hn::Add(ids, step);
  }
#else
  constexpr size_t kWord = 64;
  for (size_t begin = 0; begin < n; begin += kWord) {
    uint64_t word = 0;
    const size_t end = HWY_MIN(n, begin + kWord);
    for (size_t j = begin; j < end; j += lanes) {
      uint8_t bits[8] = {};
      hn::StoreMaskBits(d, hn::Ge(LoadCandidates<kPrepared>(d, row, j, n), limit), bits);
      word |= static_cast<uint64_t>(bits[0]) << (j - begin);
    }
    for (; word != 0; word &= word - 1) {
      const size_t id = begin + hwy::Num0BitsBelowLS1Bit_Nonzero64(word);
      s.values[count] = FiniteScalar(row[id]);
      s.ids[count++] = static_cast<TI>(id);
    }
  }
#endif
  return count;
}

// The k-th largest of the maxima of kSlots slots; k <= min(n, kSlots).
template <size_t kSlots, bool kPrepared, class D>
HWY_INLINE Real<D> PivotOfSlots(D d, const Real<D>* row, size_t n, size_t k) {
  using T = Real<D>;
  using TI = hwy::MakeSigned<T>;
  using V = hn::Vec<D>;
  constexpr size_t N = hn::MaxLanes(D()), kVectors = kSlots < N ? 1 : kSlots / N;
  const hn::RebindToSigned<D> di;
  V maxima[kVectors];
  for (V& m : maxima) m = hn::Neg(hn::Inf(d));
  size_t j = 0;
  for (; j + kVectors * N <= n; j += kVectors * N)
    for (size_t r = 0; r < kVectors; ++r)
      maxima[r] = hn::Max(maxima[r], LoadCandidates<kPrepared>(d, row, j + r * N, n));
  for (size_t r = 0; r < kVectors; ++r)
    if (j + r * N < n) maxima[r] = hn::Max(maxima[r], LoadCandidates<kPrepared>(d, row, j + r * N, n));
  HWY_ALIGN T slots[kVectors * N];
  for (size_t r = 0; r < kVectors; ++r) hn::Store(maxima[r], d, slots + r * N);
  hn::Vec<hn::RebindToSigned<D>> above[kVectors];
  for (auto& a : above) a = hn::Zero(di);
  for (size_t i = 0; i < kVectors * N; ++i) {
    const V slot = hn::Set(d, slots[i]);
    for (size_t r = 0; r < kVectors; ++r)
      above[r] = CountIf(di, above[r], hn::RebindMask(di, hn::Gt(slot, maxima[r])));
  }
  V least = hn::Inf(d);
  const auto wanted = hn::Set(di, static_cast<TI>(k));
  for (size_t r = 0; r < kVectors; ++r)
    least =
        hn::Min(least, hn::IfThenElse(hn::RebindMask(d, hn::Gt(wanted, above[r])), maxima[r], hn::Inf(d)));
  return hn::GetLane(hn::MinOfLanes(d, least));
}

template <size_t kSlots, bool kPrepared, class D>
HWY_INLINE void SelectBySlots(D d, const Real<D>* row, size_t n, size_t k, const TopKScratch<Real<D>>& s,
                              int32_t* sorted) {
  const Real<D> pivot = PivotOfSlots<kSlots, kPrepared>(d, row, n, k);
  const size_t count = CompressCandidates<kPrepared>(d, row, n, pivot, s);
  if (HWY_LIKELY(count <= 2 * kSlots)) return RankCandidates(d, s, count, k, sorted);
  RankManyCandidates(d, s, count, k, pivot, sorted);
}

// The ids of the k largest of n elements, 1 <= k <= n. A prepared row holds finite numbers, and -infinity for
// none of which there are at most n - k, up to the end of its last vector; any other row is made finite.
template <bool kPrepared, class D>
HWY_INLINE void SelectTopK(D d, const Real<D>* row, size_t n, size_t k, const TopKScratch<Real<D>>& s,
                           int32_t* sorted) {
  if (k <= 8) return SelectBySlots<16, kPrepared>(d, row, n, k, s, sorted);
  if (k <= 16) return SelectBySlots<32, kPrepared>(d, row, n, k, s, sorted);
  if (k <= 32) return SelectBySlots<64, kPrepared>(d, row, n, k, s, sorted);
  const Real<D> lowest = std::numeric_limits<Real<D>>::lowest();
  const size_t count = CompressCandidates<kPrepared>(d, row, n, lowest, s);
  RankManyCandidates(d, s, count, k, lowest, sorted);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
