// A range of rows of a job: chooses how its rows are walked.
#if defined(DISTILL_SIMD_EVALUATE_ROWS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_EVALUATE_ROWS_INL_HPP
#undef DISTILL_SIMD_EVALUATE_ROWS_INL_HPP
#else
#define DISTILL_SIMD_EVALUATE_ROWS_INL_HPP
#endif

#include <algorithm>
#include <distill/simd/loss_kernels-inl.hpp>
#include <distill/simd/objective_rows-inl.hpp>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A masked row: no value, no gradient.
HWY_INLINE void SkipRow(const row_job& job, size_t row) {
  if (job.only_unresolved) return;
  for (size_t term = 0; term < job.term_count; ++term) job.loss(term, row) = 0;
  if (job.gradient.data != nullptr && !job.accumulate) StoreZeroRow(job.gradient, row);
}

HWY_INLINE bool IsResolved(const row_job& job, size_t row) {
  for (size_t term = 0; term < job.term_count; ++term)
    if (!std::isfinite(job.loss(term, row))) return false;
  return true;
}

// ---- one row at a time

template <class T>
HWY_INLINE T* ScratchRow(const row_job& job, T* scratch, int index) {
  return index < 0 ? nullptr : scratch + static_cast<size_t>(index) * job.scratch.pitch;
}

template <class T>
HWY_INLINE T* GradientRowInPlace(const row_job& job, size_t row) {
  return static_cast<T*>(job.gradient.data) + static_cast<ptrdiff_t>(row) * job.gradient.row_stride;
}

// Subtracts the largest logit of a converted row, which no softmax notices: enormous logits would otherwise
// leave enormous rounding errors when they are scaled.
template <class T>
HWY_INLINE void ShiftCopy(const T* row, T* copy, size_t classes) {
  if (copy == nullptr || row != copy) return;
  const T maximum = MaximumOrZero(hn::ScalableTag<T>(), row, classes);
  if (!std::isfinite(maximum)) return;
  for (size_t j = 0; j < classes; ++j) copy[j] -= maximum;
}

template <class T>
HWY_INLINE RowView<T> ReadRow(const row_job& job, size_t row, T* scratch) {
  RowView<T> view = {};
  view.classes = job.classes();
  view.student = RowAs<T>(job.student, row, ScratchRow(job, scratch, job.scratch.student));
  view.teacher = job.teacher.data == nullptr
                     ? nullptr
                     : RowAs<T>(job.teacher, row, ScratchRow(job, scratch, job.scratch.teacher));
  bool only_softmax = job.only_unresolved;
  for (size_t i = 0; i < job.term_count; ++i)
    only_softmax = only_softmax && job.terms[i].kind != loss_kind::logit_mse && !job.terms[i].ranks();
  if (only_softmax) {
    ShiftCopy(view.student, ScratchRow(job, scratch, job.scratch.student), view.classes);
    if (view.teacher != nullptr)
      ShiftCopy(view.teacher, ScratchRow(job, scratch, job.scratch.teacher), view.classes);
  }
  return view;
}

template <class T>
HWY_INLINE RowScratch<T> ScratchRows(const row_job& job, T* scratch) {
  return {scratch, scratch + job.scratch.pitch, ScratchRow(job, scratch, job.scratch.slope),
          ScratchRow(job, scratch, job.scratch.candidates), ScratchRow(job, scratch, job.scratch.ranking)};
}

// The slopes of all terms that count in a row.
template <class T>
HWY_NOINLINE void TemperatureSlopesOfRow(const row_job& job, size_t row, T* scratch) {
  double& slope = job.temperature_slopes[row];
  if (job.only_unresolved && std::isfinite(slope)) return;
  slope = 0;
  if (job.weight(row) == 0) return;
  const RowView<T> view = ReadRow(job, row, scratch);
  const RowScratch<T> rows = ScratchRows(job, scratch);
  for (size_t i = 0; i < job.term_count; ++i) {
    if (!job.counts(job.terms[i], row) || !job.terms[i].moves_with_temperature()) continue;
    detail::row_term any_row(job.terms[i]);
    const loss_term& term = any_row.at(row);
    const double factor = job.factors[i] * static_cast<double>(job.weight(row));
    slope += factor * KernelsOf<T>(term).temperature_slope(term, view, row, rows);
  }
}

// A term that has a temperature for each row.
template <class T>
HWY_NOINLINE double VaryingTermRow(const loss_term& term, const RowView<T>& view, size_t row,
                                   const RowScratch<T>& rows, double factor) {
  return KernelsOf<T>(term).row(detail::row_term(term).at(row), view, row, rows, factor);
}

template <class T>
HWY_NOINLINE void TermsOfRow(const row_job& job, size_t row, T* scratch) {
  RowView<T> view = ReadRow(job, row, scratch);
  T* const copy = ScratchRow(job, scratch, job.scratch.gradient);
  view.gradient = job.gradient.data == nullptr ? nullptr
                  : copy != nullptr            ? copy
                                               : GradientRowInPlace<T>(job, row);
  const RowScratch<T> rows = ScratchRows(job, scratch);
  bool written = false;
  for (size_t i = 0; i < job.term_count; ++i) {
    const loss_term& term = job.terms[i];
    if (!job.counts(term, row)) {
      job.loss(i, row) = 0;
      continue;
    }
    const double factor = job.factors[i] * static_cast<double>(job.weight(row));
    job.loss(i, row) = term.varies_by_row() ? VaryingTermRow(term, view, row, rows, factor)
                                            : KernelsOf<T>(term).row(term, view, row, rows, factor);
    view.add = written = true;
  }
  if (view.gradient == nullptr || (sizeof(T) == 4 && !IsResolved(job, row))) return;
  if (!written) {
    if (!job.accumulate) StoreZeroRow(job.gradient, row);
  } else if (copy != nullptr) {
    StoreRow(job.gradient, row, copy, job.accumulate);
  }
}

// ---- as many rows as lanes

template <class D>
HWY_INLINE bool LoadTileDirectly([[maybe_unused]] D d, const input_matrix& m, size_t row,
                                 [[maybe_unused]] Real<D>* scratch, LaneTile<Real<D>>& tile) {
  using T = Real<D>;
  if (m.type != element_traits<T>::type) return false;
  const T* first = static_cast<const T*>(m.data) + static_cast<ptrdiff_t>(row) * m.row_stride;
  if (m.row_stride == 1) {
    tile = {first, m.column_stride};
    return true;
  }
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == 4) {
    if (m.column_stride == 1 && m.columns >= 4) {
      LoadTransposed(d, first, m.row_stride, m.columns, scratch);
      tile = {scratch, static_cast<ptrdiff_t>(hn::Lanes(d))};
      return true;
    }
  }
#endif
  return false;
}

// Lanes that do not take part read as 0 and are never touched in memory.
template <class D, class F>
HWY_INLINE LaneTile<Real<D>> LoadTile(D d, const input_matrix& m, size_t row, size_t count, bool all,
                                      F takes_part, Real<D>* scratch) {
  using T = Real<D>;
  const size_t lanes = hn::Lanes(d);
  LaneTile<T> tile{scratch, static_cast<ptrdiff_t>(lanes)};
  if (all && count == lanes && LoadTileDirectly(d, m, row, scratch, tile)) return tile;
  for (size_t i = 0; i < m.columns * lanes; ++i) scratch[i] = 0;
  for (size_t r = 0; r < count; ++r) {
    if (!takes_part(row + r)) continue;
    WithRow(m, row + r, [&](auto* p) {
      for (size_t c = 0; c < m.columns; ++c)
        scratch[c * lanes + r] = Converted<T>(p[static_cast<ptrdiff_t>(c) * m.column_stride]);
    });
  }
  return tile;
}

template <class D>
HWY_INLINE bool StoreTileDirectly(D d, const row_job& job, size_t row, const Real<D>* tile) {
  using T = Real<D>;
  const output_matrix& m = job.gradient;
  const size_t lanes = hn::Lanes(d);
  if (m.type != element_traits<T>::type) return false;
  T* first = GradientRowInPlace<T>(job, row);
  if (m.row_stride == 1) {
    for (size_t c = 0; c < m.columns; ++c) {
      T* out = first + static_cast<ptrdiff_t>(c) * m.column_stride;
      const auto v = hn::LoadU(d, tile + c * lanes);
      hn::StoreU(job.accumulate ? hn::Add(v, hn::LoadU(d, out)) : v, d, out);
    }
    return true;
  }
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == 4) {
    if (m.column_stride == 1 && m.columns >= 4 && !job.accumulate) {
      StoreTransposed(d, tile, first, m.row_stride, m.columns);
      return true;
    }
  }
#endif
  return false;
}

template <class D>
HWY_INLINE void StoreLane(D d, const row_job& job, size_t row, size_t lane, const Real<D>* tile) {
  const size_t lanes = hn::Lanes(d);
  WithRow(job.gradient, row, [&](auto* p) {
    for (size_t c = 0; c < job.classes(); ++c) {
      auto& out = p[static_cast<ptrdiff_t>(c) * job.gradient.column_stride];
      const Real<D> value = tile[c * lanes + lane];
      Assign(job.accumulate ? value + Converted<Real<D>>(out) : value, out);
    }
  });
}

template <class D, class T = Real<D>>
HWY_NOINLINE void TermsOfTile(D d, const row_job& job, size_t row, size_t count, LaneNumbers<D>* numbers,
                              T* scratch) {
  const size_t lanes = hn::Lanes(d), pitch = job.scratch.pitch;
  // Every lane counts for every term, and as much.
  bool all_alike = job.weights.empty();
  for (size_t term = 0; term < job.term_count; ++term)
    all_alike = all_alike && !job.terms[term].needs_labels();
  const auto takes_part = [&](size_t i) {
    for (size_t term = 0; term < job.term_count; ++term)
      if (job.counts(job.terms[term], i)) return true;
    return false;
  };
  bool all = true;
  for (size_t r = 0; r < count && !all_alike; ++r) all = all && takes_part(row + r);
  LaneRows<D> rows;
  rows.classes = job.classes();
  rows.exponentials = scratch;
  rows.others = scratch + pitch;
  rows.student = LoadTile(d, job.student, row, count, all, takes_part, scratch + 2 * pitch);
  if (job.teacher.data != nullptr)
    rows.teacher = LoadTile(d, job.teacher, row, count, all, takes_part, scratch + 3 * pitch);
  rows.gradient = job.gradient.data == nullptr ? nullptr : scratch + 4 * pitch;
  rows.add = false;
  HWY_ALIGN T factors[HWY_MAX_BYTES / sizeof(T)] = {}, labels[HWY_MAX_BYTES / sizeof(T)] = {};
  HWY_ALIGN double values[HWY_MAX_BYTES / sizeof(T)];
  bool direct = all && count == lanes;
  for (size_t i = 0; i < job.term_count; ++i) {
    const loss_term& term = job.terms[i];
    if (term.varies_by_row()) numbers[i].Set(d, job, term, row, count);
    if (all_alike && count == lanes) {
      const auto factor = hn::Set(d, static_cast<T>(job.factors[i]));
      KernelsOf<T>(term).lanes(term, numbers[i], rows, factor, labels, values);
      rows.add = true;
      direct = direct && AllLanesFinite(d, values);
      std::copy_n(values, lanes, &job.loss(i, row));
      continue;
    }
    for (size_t r = 0; r < count; ++r) {
      const bool counts = job.counts(term, row + r);
      factors[r] = counts ? static_cast<T>(job.factors[i]) * static_cast<T>(job.weight(row + r)) : T{0};
      if (term.needs_labels() && counts) labels[r] = static_cast<T>(term.labels[row + r]);
    }
    KernelsOf<T>(term).lanes(term, numbers[i], rows, hn::LoadU(d, factors), labels, values);
    rows.add = true;
    for (size_t r = 0; r < count; ++r) job.loss(i, row + r) = job.counts(term, row + r) ? values[r] : 0;
    direct = direct && AllLanesFinite(d, values);
  }
  if (rows.gradient == nullptr) return;
  if (direct && StoreTileDirectly(d, job, row, rows.gradient)) return;
  for (size_t r = 0; r < count; ++r) {
    if (!takes_part(row + r))
      SkipRow(job, row + r);
    else if (sizeof(T) == 8 || IsResolved(job, row + r))
      StoreLane(d, job, row + r, r, rows.gradient);
  }
}

// ---- a range of rows

template <class T>
HWY_INLINE void EvaluateRange(const row_job& job, size_t begin, size_t end, T* scratch) {
  if (!job.temperature_slopes.empty()) {
    for (size_t row = begin; row < end; ++row) TemperatureSlopesOfRow(job, row, scratch);
    return;
  }
  if constexpr (sizeof(T) == 4) {
    if (job.term_count == 1 && !job.across_rows)
      if (const auto range = KernelsOf<float>(job.terms[0]).range) return range(job, begin, end, scratch);
    if (job.one_pair) {
      const hn::ScalableTag<float> d;
      return ObjectiveRows<std::remove_const_t<decltype(d)>>(job, scratch).Run(begin, end);
    }
  }
  if (job.across_rows) {
    const hn::ScalableTag<T> d;
    const size_t lanes = hn::Lanes(d);
    LaneNumbers<std::remove_const_t<decltype(d)>> numbers[detail::most_terms];
    for (size_t i = 0; i < job.term_count; ++i) numbers[i].Set(d, job.terms[i]);
    for (size_t row = begin; row < end; row += lanes)
      TermsOfTile(d, job, row, HWY_MIN(lanes, end - row), numbers, scratch);
    return;
  }
  for (size_t row = begin; row < end; ++row) {
    if (job.weight(row) == 0)
      SkipRow(job, row);
    else if (!job.only_unresolved || !IsResolved(job, row))
      TermsOfRow(job, row, scratch);
  }
}

// Rows [begin, end) of a job in the compute type T, with the scratch rows the job plans.
template <class T>
void EvaluateRows(const row_job& job, size_t begin, size_t end, void* scratch) {
  EvaluateRange(job, begin, end, static_cast<T*>(scratch));
  RestoreX87();
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
