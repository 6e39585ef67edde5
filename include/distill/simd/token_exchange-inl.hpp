// A range of tokens to their experts' rows, and back.
//
// Everything goes token by token, so that a token's row stays in the first-level cache while its k expert
// rows stream past, and every row is written by one token alone.
#if defined(DISTILL_SIMD_TOKEN_EXCHANGE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_TOKEN_EXCHANGE_INL_HPP
#undef DISTILL_SIMD_TOKEN_EXCHANGE_INL_HPP
#else
#define DISTILL_SIMD_TOKEN_EXCHANGE_INL_HPP
#endif

#include <cstring>
#include <distill/moe/token_exchange_job.hpp>
#include <distill/simd/row_memory-inl.hpp>
#include <distill/simd/sums-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using detail::exchange_job;
using detail::exchange_kind;

// ---- copies

// Bytes past the caches where the destination allows it.
HWY_INLINE void StreamBytes(const uint8_t* HWY_RESTRICT from, uint8_t* HWY_RESTRICT to, size_t bytes) {
  const hn::ScalableTag<uint8_t> d;
  const size_t lanes = hn::Lanes(d);
  const size_t head = HWY_MIN(bytes, (lanes - reinterpret_cast<uintptr_t>(to) % lanes) % lanes);
  std::memcpy(to, from, head);
  size_t i = head;
  for (; i + lanes <= bytes; i += lanes) hn::Stream(hn::LoadU(d, from + i), d, to + i);
  std::memcpy(to + i, from + i, bytes - i);
}

HWY_INLINE void CopyStrided(const uint8_t* from, ptrdiff_t from_stride, uint8_t* to, ptrdiff_t to_stride,
                            size_t count, size_t element_bytes) {
  for (size_t i = 0; i < count; ++i)
    std::memcpy(to + static_cast<ptrdiff_t>(i) * to_stride, from + static_cast<ptrdiff_t>(i) * from_stride,
                element_bytes);
}

HWY_INLINE void DispatchToken(const exchange_job& job, size_t token) {
  const auto bytes = static_cast<ptrdiff_t>(job.element_bytes);
  const size_t row_bytes = job.width() * job.element_bytes;
  const bool contiguous = job.width() <= 1 || (job.from.column_stride == 1 && job.to.column_stride == 1);
  const uint8_t* from = static_cast<const uint8_t*>(job.from.data) +
                        static_cast<ptrdiff_t>(token) * job.from.row_stride * bytes;
  for (size_t j = 0; j < job.rows.columns(); ++j) {
    const auto row = static_cast<ptrdiff_t>(job.rows(token, j));
    if (row < 0) continue;
    uint8_t* to = static_cast<uint8_t*>(job.to.data) + row * job.to.row_stride * bytes;
    if (!contiguous)
      CopyStrided(from, job.from.column_stride * bytes, to, job.to.column_stride * bytes, job.width(),
                  job.element_bytes);
    else if (job.bypass_cache)
      StreamBytes(from, to, row_bytes);
    else
      std::memcpy(to, from, row_bytes);
  }
}

// ---- weighted sums and their gradients; T computes, Row and Token are the elements in memory

template <class T, class Row, class Token>
class TokenExchange {
  using D = hn::ScalableTag<T>;
  using V = hn::Vec<D>;
  static constexpr D d{};
  // Vectors of a token summed at a time: each expert row is read in pieces of so many.
  static constexpr size_t kPiece = 8;
  // How many pieces ahead the rows are fetched.
  static constexpr size_t kAhead = 4;
  static constexpr size_t kLine = 64 / sizeof(Row);

 public:
  explicit TokenExchange(const exchange_job& job) : job_(job), width_(job.width()) {}

  void Combine(size_t begin, size_t end) const {
    const bool contiguous = width_ <= 1 || (job_.from.column_stride == 1 && job_.to.column_stride == 1);
    for (size_t token = begin; token < end; ++token) {
      Token* const to =
          static_cast<Token*>(job_.to.data) + static_cast<ptrdiff_t>(token) * job_.to.row_stride;
      if (!contiguous)
        CombineStrided(token, to);
      else if (job_.bypass_cache && !job_.accumulate && std::is_same_v<Token, T>)
        CombineToken<true>(token, token + 1 < end, to);
      else
        CombineToken<false>(token, token + 1 < end, to);
    }
    if (job_.bypass_cache) hwy::FlushStream();
  }

  void Backward(size_t begin, size_t end) const {
    const bool contiguous =
        width_ <= 1 || (job_.from.column_stride == 1 && job_.upstream.column_stride == 1 &&
                        (job_.to.data == nullptr || job_.to.column_stride == 1));
    for (size_t token = begin; token < end; ++token)
      for (size_t j = 0; j < job_.rows.columns(); ++j) {
        const auto row = static_cast<ptrdiff_t>(job_.rows(token, j));
        const double slope = row < 0      ? 0
                             : contiguous ? BackwardRow(token, j, row)
                                          : BackwardStrided(token, j, row);
        if (job_.weight_gradient.data != nullptr) SetWeightGradient(token, j, slope);
      }
    if (job_.bypass_cache) hwy::FlushStream();
  }

 private:
  T Weight(size_t token, size_t j) const {
    const detail::input_matrix& w = job_.weights;
    if (w.data == nullptr) return 1;
    const auto i = static_cast<ptrdiff_t>(token) * w.row_stride + static_cast<ptrdiff_t>(j) * w.column_stride;
    if (w.type == element_type::float64) return static_cast<T>(static_cast<const double*>(w.data)[i]);
    return static_cast<T>(static_cast<const float*>(w.data)[i]);
  }
  void SetWeightGradient(size_t token, size_t j, double value) const {
    const detail::output_matrix& w = job_.weight_gradient;
    const auto i = static_cast<ptrdiff_t>(token) * w.row_stride + static_cast<ptrdiff_t>(j) * w.column_stride;
    if (w.type == element_type::float64)
      static_cast<double*>(w.data)[i] = value;
    else
      static_cast<float*>(w.data)[i] = static_cast<float>(value);
  }
  const Row* RowAt(ptrdiff_t row) const {
    return static_cast<const Row*>(job_.from.data) + row * job_.from.row_stride;
  }

  // ---- combine

  void CombineStrided(size_t token, Token* to) const {
    for (size_t c = 0; c < width_; ++c) {
      Token& out = to[static_cast<ptrdiff_t>(c) * job_.to.column_stride];
      T sum = job_.accumulate ? Converted<T>(out) : T(0);
      for (size_t j = 0; j < job_.rows.columns(); ++j)
        if (const auto row = static_cast<ptrdiff_t>(job_.rows(token, j)); row >= 0)
          sum += Weight(token, j) *
                 Converted<T>(RowAt(row)[static_cast<ptrdiff_t>(c) * job_.from.column_stride]);
      Assign(sum, out);
    }
  }

  template <bool kBypass>
  HWY_INLINE void CombineToken(size_t token, bool has_next, Token* HWY_RESTRICT to) const {
    const size_t lanes = hn::Lanes(d), piece = kPiece * lanes;
    constexpr size_t kBytes = sizeof(V);
    size_t c = 0;
    if constexpr (kBypass) {  // stores past the cache need alignment
      c = HWY_MIN(width_, (kBytes - reinterpret_cast<uintptr_t>(to) % kBytes) % kBytes / sizeof(T));
      if (c > 0) CombinePart(token, to, 0, c);
    }
    for (; c + piece <= width_; c += piece) CombinePiece<kBypass>(token, has_next, to, c);
    for (; c < width_; c += lanes) CombinePart(token, to, c, HWY_MIN(lanes, width_ - c));
  }

  HWY_INLINE void CombinePart(size_t token, Token* HWY_RESTRICT to, size_t c, size_t count) const {
    V sum = job_.accumulate ? LoadPart(d, to + c, count) : hn::Zero(d);
    for (size_t j = 0; j < job_.rows.columns(); ++j)
      if (const auto row = static_cast<ptrdiff_t>(job_.rows(token, j)); row >= 0)
        sum = hn::MulAdd(hn::Set(d, Weight(token, j)), LoadPart(d, RowAt(row) + c, count), sum);
    StorePart(d, sum, to + c, count);
  }

  template <bool kBypass>
  HWY_INLINE void CombinePiece(size_t token, bool has_next, Token* HWY_RESTRICT to, size_t c) const {
    const size_t lanes = hn::Lanes(d);
    V s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0;
    if (job_.accumulate) {
      s0 = LoadAs(d, to + c), s1 = LoadAs(d, to + c + lanes);
      s2 = LoadAs(d, to + c + 2 * lanes), s3 = LoadAs(d, to + c + 3 * lanes);
      s4 = LoadAs(d, to + c + 4 * lanes), s5 = LoadAs(d, to + c + 5 * lanes);
      s6 = LoadAs(d, to + c + 6 * lanes), s7 = LoadAs(d, to + c + 7 * lanes);
    }
    for (size_t j = 0; j < job_.rows.columns(); ++j) {
      const auto row = static_cast<ptrdiff_t>(job_.rows(token, j));
      if (row < 0) continue;
      if (c + kAhead * kPiece * lanes < width_)
        Prefetch(token, j, c + kAhead * kPiece * lanes, kPiece * lanes);
      else if (has_next)
        Prefetch(token + 1, j, c + HWY_MIN(kAhead * kPiece * lanes, width_) - width_, kPiece * lanes);
      const V w = hn::Set(d, Weight(token, j));
      const Row* HWY_RESTRICT p = RowAt(row) + c;
      s0 = hn::MulAdd(w, LoadAs(d, p), s0);
      s1 = hn::MulAdd(w, LoadAs(d, p + lanes), s1);
      s2 = hn::MulAdd(w, LoadAs(d, p + 2 * lanes), s2);
      s3 = hn::MulAdd(w, LoadAs(d, p + 3 * lanes), s3);
      s4 = hn::MulAdd(w, LoadAs(d, p + 4 * lanes), s4);
      s5 = hn::MulAdd(w, LoadAs(d, p + 5 * lanes), s5);
      s6 = hn::MulAdd(w, LoadAs(d, p + 6 * lanes), s6);
      s7 = hn::MulAdd(w, LoadAs(d, p + 7 * lanes), s7);
    }
    StoreSum<kBypass>(s0, to + c), StoreSum<kBypass>(s1, to + c + lanes);
    StoreSum<kBypass>(s2, to + c + 2 * lanes), StoreSum<kBypass>(s3, to + c + 3 * lanes);
    StoreSum<kBypass>(s4, to + c + 4 * lanes), StoreSum<kBypass>(s5, to + c + 5 * lanes);
    StoreSum<kBypass>(s6, to + c + 6 * lanes), StoreSum<kBypass>(s7, to + c + 7 * lanes);
  }

  // The rows of the next token lie anywhere, so the processor cannot see them coming.
  HWY_INLINE void Prefetch(size_t token, size_t j, size_t c, size_t count) const {
    const auto row = static_cast<ptrdiff_t>(job_.rows(token, j));
    if (row < 0) return;
    const Row* p = RowAt(row) + c;
    for (size_t i = 0; i < count; i += kLine) __builtin_prefetch(p + i, 0, 0);
  }

  template <bool kBypass>
  static HWY_INLINE void StoreSum(V sum, Token* to) {
    if constexpr (kBypass)
      hn::Stream(sum, d, reinterpret_cast<T*>(to));
    else
      StoreAs(d, sum, to);
  }

  // ---- the gradient of combine

  double BackwardStrided(size_t token, size_t j, ptrdiff_t row) const {
    const Token* up = static_cast<const Token*>(job_.upstream.data) +
                      static_cast<ptrdiff_t>(token) * job_.upstream.row_stride;
    const T weight = Weight(token, j);
    double slope = 0;
    for (size_t c = 0; c < width_; ++c) {
      const auto i = static_cast<ptrdiff_t>(c);
      const T dy = Converted<T>(up[i * job_.upstream.column_stride]);
      slope += static_cast<double>(dy) *
               static_cast<double>(Converted<T>(RowAt(row)[i * job_.from.column_stride]));
      if (job_.to.data != nullptr)
        Assign(weight * dy,
               static_cast<Row*>(job_.to.data)[row * job_.to.row_stride + i * job_.to.column_stride]);
    }
    return slope;
  }

  HWY_INLINE double BackwardRow(size_t token, size_t j, ptrdiff_t row) const {
    const Token* HWY_RESTRICT up = static_cast<const Token*>(job_.upstream.data) +
                                   static_cast<ptrdiff_t>(token) * job_.upstream.row_stride;
    const Row* from = RowAt(row);
    Row* to = job_.to.data == nullptr ? nullptr : static_cast<Row*>(job_.to.data) + row * job_.to.row_stride;
    const bool wants_slope = job_.weight_gradient.data != nullptr;
    if (to == nullptr) return wants_slope ? Dot(up, from) : 0;
    const V w = hn::Set(d, Weight(token, j));
    if (!wants_slope) return ScaleRow(w, up, to), 0;
    if constexpr (std::is_same_v<Row, T>) {
      if (job_.bypass_cache) return DotAndScale<true>(w, up, from, to);
    }
    return DotAndScale<false>(w, up, from, to);
  }

  HWY_INLINE void ScaleRow(V w, const Token* HWY_RESTRICT up, Row* to) const {
    const size_t lanes = hn::Lanes(d);
    size_t c = 0;
    for (; c + lanes <= width_; c += lanes) StoreAs(d, hn::Mul(w, LoadAs(d, up + c)), to + c);
    if (c < width_) StorePart(d, hn::Mul(w, LoadPart(d, up + c, width_ - c)), to + c, width_ - c);
  }

  HWY_INLINE double Dot(const Token* HWY_RESTRICT up, const Row* from) const {
    return Sum(
        0, [&](size_t c) HWY_ATTR { return hn::Mul(LoadAs(d, up + c), LoadAs(d, from + c)); },
        [&](size_t c, size_t count)
            HWY_ATTR { return hn::Mul(LoadPart(d, up + c, count), LoadPart(d, from + c, count)); });
  }

  template <bool kBypass>
  HWY_INLINE double DotAndScale(V w, const Token* HWY_RESTRICT up, const Row* from, Row* to) const {
    // Stores past the cache need alignment.
    constexpr size_t kBytes = sizeof(V);
    const size_t head =
        kBypass ? (kBytes - reinterpret_cast<uintptr_t>(to) % kBytes) % kBytes / sizeof(T) : 0;
    return Sum(
        HWY_MIN(head, width_),
        [&](size_t c) HWY_ATTR {
          const V dy = LoadAs(d, up + c), product = hn::Mul(dy, LoadAs(d, from + c));
          if constexpr (kBypass)
            hn::Stream(hn::Mul(w, dy), d, reinterpret_cast<T*>(to) + c);
          else
            StoreAs(d, hn::Mul(w, dy), to + c);
          return product;
        },
        [&](size_t c, size_t count) HWY_ATTR {
          const V dy = LoadPart(d, up + c, count), product = hn::Mul(dy, LoadPart(d, from + c, count));
          StorePart(d, hn::Mul(w, dy), to + c, count);
          return product;
        });
  }

  // Of the first `head` elements, whole vectors and the rest: at most kBlockVectors in the compute type, then
  // in double.
  template <class Whole, class Part>
  HWY_INLINE double Sum(size_t head, Whole whole, Part part) const {
    const size_t lanes = hn::Lanes(d), block = kBlockVectors * lanes;
    WideSum<D> sum(d);
    if (head > 0) sum.Add(d, part(0, head));
    size_t c = head;
    while (c + 4 * lanes <= width_) {
      const size_t end = c + HWY_MIN(block, (width_ - c) / (4 * lanes) * (4 * lanes));
      V s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
      for (; c < end; c += 4 * lanes) {
        s0 = hn::Add(s0, whole(c)), s1 = hn::Add(s1, whole(c + lanes));
        s2 = hn::Add(s2, whole(c + 2 * lanes)), s3 = hn::Add(s3, whole(c + 3 * lanes));
      }
      sum.Add(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3)));
    }
    for (; c + lanes <= width_; c += lanes) sum.Add(d, whole(c));
    if (c < width_) sum.Add(d, part(c, width_ - c));
    return sum.Total(d);
  }

  const exchange_job& job_;
  const size_t width_;
};

template <class T, class Row, class Token>
HWY_INLINE void ExchangeAs(const exchange_job& job, size_t begin, size_t end) {
  const TokenExchange<T, Row, Token> exchange(job);
  if (job.kind == exchange_kind::combine)
    exchange.Combine(begin, end);
  else
    exchange.Backward(begin, end);
}

// Tokens are of the rows' type, or float beside 16-bit rows.
inline void ExchangeTokens(const exchange_job& job, size_t begin, size_t end) {
  if (job.kind == exchange_kind::dispatch) {
    for (size_t token = begin; token < end; ++token) DispatchToken(job, token);
    if (job.bypass_cache) hwy::FlushStream();
    return RestoreX87();
  }
  const element_type token_type = job.kind == exchange_kind::combine ? job.to.type : job.upstream.type;
  const bool widened = token_type == element_type::float32;
  switch (job.from.type) {
    case element_type::float32:
      ExchangeAs<float, float, float>(job, begin, end);
      break;
    case element_type::float64:
      ExchangeAs<double, double, double>(job, begin, end);
      break;
    case element_type::bfloat16:
      widened ? ExchangeAs<float, bfloat16, float>(job, begin, end)
              : ExchangeAs<float, bfloat16, bfloat16>(job, begin, end);
      break;
    case element_type::float16:
      widened ? ExchangeAs<float, float16, float>(job, begin, end)
              : ExchangeAs<float, float16, float16>(job, begin, end);
      break;
  }
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
