// softmax, log_softmax and log_sum_exp of contiguous rows, in one pass over the logits.
//
// Exponentials are taken against a reference from the start of the row, which is raised where a later logit
// exceeds it by far: no pass for the maximum. The exponentials of a row stay in scratch; while the next row
// is read and exponentiated over them, position by position, this row's output is finished from what is about
// to be overwritten: reading, arithmetic and writing overlap.
#if defined(DISTILL_SIMD_SOFTMAX_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_SOFTMAX_ROWS_INL_HPP
#undef DISTILL_SIMD_SOFTMAX_ROWS_INL_HPP
#else
#define DISTILL_SIMD_SOFTMAX_ROWS_INL_HPP
#endif

#include <distill/simd/loss_rows-inl.hpp>
#include <distill/simd/softmax_lanes-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// How far a logit may exceed the reference before it is raised, in powers of 2: the rounding error of an
// exponent grows with its size.
inline constexpr double kRaiseAbove = 8;

template <class D, class In, class Out, softmax_kind kKind>
class SoftmaxRows {
  using T = Real<D>;
  using V = hn::Vec<D>;
  static constexpr D d{};
  static constexpr bool kFinishes = kKind != softmax_kind::log_sum_exp;
  static constexpr bool kStores = kKind == softmax_kind::softmax;

 public:
  SoftmaxRows(const softmax_job& job, T* HWY_RESTRICT scratch)
      : job_(job),
        n_(job.classes()),
        exponentials_(Row(scratch, job.scratch.exponentials)),
        input_copy_(Row(scratch, job.scratch.input)),
        output_copy_(Row(scratch, job.scratch.output)),
        scale_(ScaleForTemperature<T>(kLog2e, job.temperature)) {}

  void Run(size_t begin, size_t end) {
    const size_t bytes = n_ * sizeof(In);
    if (bytes < size_t{16} << 10)
      Run<0>(begin, end);
    else if (bytes < size_t{192} << 10)
      Run<4096>(begin, end);
    else
      Run<2048>(begin, end);
  }

 private:
  // How the pending row's output is finished, and which.
  struct Finish {
    V factor, reference, log_sum;
    const In* in;
    Out* out;
    T* HWY_RESTRICT exponentials;

    HWY_INLINE V operator()(V x) const {
      if constexpr (kStores)
        return hn::Mul(x, factor);
      else
        return hn::MulSub(hn::Sub(x, reference), factor, log_sum);
    }
    template <bool kBypass>
    HWY_INLINE void Vector(size_t j) const {
      V x;
      if constexpr (kStores)
        x = hn::LoadU(d, exponentials + j);
      else
        x = LoadAs(d, in + j);
      if constexpr (kBypass)
        hn::Stream((*this)(x), d, reinterpret_cast<T*>(out) + j);
      else
        StoreAs(d, (*this)(x), out + j);
    }
    HWY_INLINE void Part(size_t j, size_t count) const {
      V x;
      if constexpr (kStores)
        x = LoadPart(d, exponentials + j, count);
      else
        x = LoadPart(d, in + j, count);
      StorePart(d, (*this)(x), out + j, count);
    }
  };

  struct RowSum {
    double sum;
    T reference;
    bool resolved;
  };

  T* Row(T* scratch, int index) const {
    return index < 0 ? nullptr : scratch + static_cast<size_t>(index) * job_.scratch.pitch;
  }

  template <size_t kAhead>
  void Run(size_t begin, size_t end) {
    for (size_t row = begin; row < end; ++row) OneRow<kAhead>(row);
    if (pending_) FinishAlone();
    if (job_.bypass_cache) hwy::FlushStream();
  }

  const In* InputRow(size_t row) const {
    if constexpr (std::is_same_v<In, T>)
      return RowAs<T>(job_.input, row, input_copy_);
    else
      return static_cast<const In*>(job_.input.data) + static_cast<ptrdiff_t>(row) * job_.input.row_stride;
  }

  static V LoadLogitsAs(const In* p, size_t count) {
    if (count == hn::Lanes(d)) return LoadAs(d, p);
    return hn::IfThenElse(hn::FirstN(d, count), LoadPart(d, p, count), hn::Neg(hn::Inf(d)));
  }
  static T Maximum(const In* p, size_t n) {
    V maximum = hn::Neg(hn::Inf(d));
    ForEachVector(d, n, [&](size_t j, size_t count) HWY_ATTR {
      maximum = hn::Max(maximum, LoadLogitsAs(p + j, count));
    });
    return hn::GetLane(hn::MaxOfLanes(d, maximum));
  }

  // ---- the pending row

  void FinishRest(size_t j) {
    for (; j + hn::Lanes(d) <= n_; j += hn::Lanes(d)) finish_.template Vector<false>(j);
    if (j < n_) finish_.Part(j, n_ - j);
    Commit();
  }
  void FinishAlone() {
    if (head_ > 0) finish_.Part(0, head_);
    FinishRest(head_);
  }
  void Commit() {
    pending_ = false;
    if constexpr (std::is_same_v<Out, T>)
      if (output_copy_ != nullptr) StoreRow(job_.output, pending_row_, output_copy_, false);
  }

  void MakePending(size_t row, const In* in, const RowSum& sum) {
    double factor = 1 / sum.sum, log_sum = 0;
    if constexpr (kKind == softmax_kind::log_softmax) {
      factor = static_cast<double>(ScaleForTemperature<T>(1, job_.temperature));
      log_sum = std::log(sum.sum);
    } else if (job_.kind == softmax_kind::log_sum_exp_backward) {
      factor *= VectorEntry<double>(job_.upstream, row) / job_.temperature;
    }
    finish_.factor = hn::Set(d, static_cast<T>(factor));
    finish_.reference = hn::Set(d, sum.reference);
    finish_.log_sum = hn::Set(d, static_cast<T>(log_sum));
    finish_.in = in;
    finish_.exponentials = exponentials_;
    if constexpr (std::is_same_v<Out, T>) finish_.out = output_copy_;
    if (output_copy_ == nullptr)
      finish_.out =
          static_cast<Out*>(job_.output.data) + static_cast<ptrdiff_t>(row) * job_.output.row_stride;
    pending_ = true;
    pending_row_ = row;
    constexpr size_t kBytes = sizeof(V);
    const auto address = reinterpret_cast<uintptr_t>(finish_.out);
    bypass_ = job_.bypass_cache && output_copy_ == nullptr && std::is_same_v<Out, T>;
    // Stores past the cache need alignment, so such a row is finished ahead of the next row's reading by this
    // much.
    head_ = bypass_ ? HWY_MIN(n_, (kBytes - address % kBytes) % kBytes / sizeof(T)) : 0;
    // The copy of a strided row does not outlive the reading of the next.
    if (kKind == softmax_kind::log_softmax && input_copy_ != nullptr) FinishAlone();
  }

  // ---- the row being read

  struct BlockSums {
    V sum, largest;
  };

  HWY_INLINE V Exponential(V z, V reference, V scale) const {
    return Exp2Fast(d, hn::Mul(hn::Sub(z, reference), scale));
  }

  // Whole vectors of [begin, end), finishing the pending row head_ elements ahead.
  template <bool kFinish, bool kBypass, size_t kAhead>
  HWY_NOINLINE void Stream(const In* p, size_t begin, size_t end, T row_reference, BlockSums& sums) const {
    const Finish finish = finish_;
    T* HWY_RESTRICT const exponentials = exponentials_;
    const size_t lanes = hn::Lanes(d), head = head_;
    const V reference = hn::Set(d, row_reference), scale = hn::Set(d, scale_);
    V sum = sums.sum, largest = sums.largest;
    for (size_t j = begin; j < end; j += lanes) {
      if constexpr (kAhead == 4096) __builtin_prefetch(reinterpret_cast<const char*>(p + j) + kAhead, 0, 2);
      if constexpr (kAhead == 2048) __builtin_prefetch(reinterpret_cast<const char*>(p + j) + kAhead, 0, 0);
      const V z = LoadAs(d, p + j);
      if constexpr (kFinish) finish.template Vector<kBypass>(j + head);
      const V e = Exponential(z, reference, scale);
      if constexpr (kStores) hn::StoreU(e, d, exponentials + j);
      sum = hn::Add(sum, e);
      largest = hn::Max(largest, z);
    }
    sums = {sum, largest};
  }

  template <size_t kAhead>
  HWY_INLINE BlockSums StreamBlock(const In* p, size_t begin, size_t end, T reference, bool again = false) {
    const size_t lanes = hn::Lanes(d), whole = end - (end - begin) % lanes;
    BlockSums sums{hn::Zero(d), hn::Neg(hn::Inf(d))};
    if constexpr (kFinishes) {
      if (pending_ && !again) {
        const size_t both =
            HWY_MAX(begin, HWY_MIN(whole, (n_ - head_) / lanes * lanes));  // what both rows have
        if constexpr (std::is_same_v<Out, T>) {
          if (bypass_) Stream<true, true, kAhead>(p, begin, both, reference, sums);
        }
        if (!bypass_) Stream<true, false, kAhead>(p, begin, both, reference, sums);
        if (end == n_ || both < whole) FinishRest(head_ + both);
        begin = both;
      }
    }
    if (begin < whole) Stream<false, false, kAhead>(p, begin, whole, reference, sums);
    if (whole < end) {
      const V z = LoadLogitsAs(p + whole, end - whole);
      const V e = Exponential(z, hn::Set(d, reference), hn::Set(d, scale_));
      if constexpr (kStores) hn::StoreU(e, d, exponentials_ + whole);
      sums = {hn::Add(sums.sum, e), hn::Max(sums.largest, z)};
    }
    return sums;
  }

  // Replaces the reference from position `begin` on; returns the factor on what was summed before.
  HWY_NOINLINE double Raise(T& reference, T raised, size_t begin) const {
    const double change = static_cast<double>(reference) - static_cast<double>(raised);
    const double factor = std::exp2(change * static_cast<double>(scale_));
    reference = raised;
    if constexpr (kStores) {
      const V v = hn::Set(d, static_cast<T>(factor));
      for (size_t j = 0; j < begin; j += hn::Lanes(d))
        hn::StoreU(hn::Mul(hn::LoadU(d, exponentials_ + j), v), d, exponentials_ + j);
    }
    return factor;
  }

  template <size_t kAhead>
  RowSum StreamRow(const In* p) {
    T reference = Maximum(p, HWY_MIN(n_, n_ < 1024 ? size_t{64} : size_t{256}));
    if (!std::isfinite(reference)) reference = Maximum(p, n_);
    if (!std::isfinite(reference)) return {0, 0, false};
    if (pending_ && head_ > 0) finish_.Part(0, head_);
    double carried = 0;
    WideSum<D> sum(d);
    V limit = hn::Set(d, reference + static_cast<T>(kRaiseAbove) / scale_);
    const size_t block = kBlockVectors * hn::Lanes(d);
    for (size_t begin = 0; begin < n_; begin += block) {
      const size_t end = HWY_MIN(n_, begin + block);
      BlockSums part = StreamBlock<kAhead>(p, begin, end, reference);
      if (HWY_UNLIKELY(!hn::AllFalse(d, hn::Gt(part.largest, limit)))) {
        const T raised = Maximum(p + begin, n_ - begin);
        limit = hn::Inf(d);
        if (std::isfinite(raised)) {
          carried = (carried + sum.Total(d)) * Raise(reference, raised, begin);
          sum = WideSum<D>(d);
          part = StreamBlock<kAhead>(p, begin, end, reference, true);
        } else {
          carried = std::nan("");
        }
      }
      sum.Add(d, part.sum);
    }
    const double total = carried + sum.Total(d);
    return {total, reference, total > 0 && std::isfinite(total)};
  }

  template <size_t kAhead>
  void OneRow(size_t row) {
    const In* const p = InputRow(row);
    const RowSum sum = StreamRow<kAhead>(p);
    if (HWY_UNLIKELY(!sum.resolved)) {
      if (pending_) FinishAlone();
      return resolve_softmax_row(job_, row);
    }
    if constexpr (kFinishes) {
      MakePending(row, p, sum);
    } else {
      const double value = static_cast<double>(sum.reference) / job_.temperature + std::log(sum.sum);
      WithRow(job_.output, row, [&](auto* out) { Assign(value, *out); });
    }
  }

  const softmax_job& job_;
  const size_t n_;
  T* HWY_RESTRICT const exponentials_;
  T* const input_copy_;
  T* const output_copy_;
  const T scale_;

  bool pending_ = false, bypass_ = false;
  size_t pending_row_ = 0, head_ = 0;
  Finish finish_{};
};

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
