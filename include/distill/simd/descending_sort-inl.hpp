// Sorts a row of less than 2^32 elements in descending order, the lower index first among equals: by digits
// of the keys, from the last digit to the first, which moves every element a fixed number of times whatever
// the row holds. Short rows are sorted by insertion. -0 equals 0; NaN goes to the ends.
#if defined(DISTILL_SIMD_DESCENDING_SORT_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef DISTILL_SIMD_DESCENDING_SORT_INL_HPP
#undef DISTILL_SIMD_DESCENDING_SORT_INL_HPP
#else
#define DISTILL_SIMD_DESCENDING_SORT_INL_HPP
#endif

#include <cstdint>
#include <distill/simd/exponential-inl.hpp>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE {

// A key with the index it came from.
template <class T>
struct Keyed {  // double
  hwy::MakeUnsigned<T> key, id;
  Keyed(hwy::MakeUnsigned<T> k, size_t i) : key(k), id(i) {}
  size_t Id() const { return static_cast<size_t>(id); }
};
template <>
struct Keyed<float> {  // in one word, which moves faster
  uint64_t word;
  Keyed(uint32_t key, size_t id) : word(uint64_t{key} << 32 | id) {}
  size_t Id() const { return static_cast<size_t>(word & 0xffffffffu); }
};

HWY_INLINE uint32_t KeyOf(uint32_t key) { return key; }
HWY_INLINE uint64_t KeyOf(uint64_t key) { return key; }
HWY_INLINE uint32_t KeyOf(const Keyed<float>& item) { return static_cast<uint32_t>(item.word >> 32); }
HWY_INLINE uint64_t KeyOf(const Keyed<double>& item) { return item.key; }

// Two places for the items of a row, and one for counters.
template <class Item>
struct SortScratch {
  Item *items, *others;
  uint32_t* counts;
};
// Counters: one for each value of each digit.
inline constexpr size_t kSortDigitBits = 11;
template <class T>
inline constexpr size_t kSortCounts = ((8 * sizeof(T) + kSortDigitBits - 1) / kSortDigitBits)
                                      << kSortDigitBits;

// Unsigned numbers in the opposite order.
template <class T>
HWY_INLINE hwy::MakeUnsigned<T> DescendingKey(T value) {
  using Key = hwy::MakeUnsigned<T>;
  constexpr Key kSign = Key{1} << (8 * sizeof(T) - 1);
  value += T{0};
  Key bits;
  hwy::CopyBytes<sizeof(T)>(&value, &bits);
  const Key negative = static_cast<Key>(0) - (bits >> (8 * sizeof(T) - 1));
  return bits ^ (~negative & static_cast<Key>(~kSign));
}
template <class T>
HWY_INLINE T ValueOfKey(hwy::MakeUnsigned<T> key) {
  using Key = hwy::MakeUnsigned<T>;
  constexpr Key kSign = Key{1} << (8 * sizeof(T) - 1);
  const Key negative = static_cast<Key>(0) - (key >> (8 * sizeof(T) - 1));
  const Key bits = key ^ (~negative & static_cast<Key>(~kSign));
  T value;
  hwy::CopyBytes<sizeof(T)>(&bits, &value);
  return value;
}

template <class Item>
HWY_INLINE void InsertionSort(Item* items, size_t n) {
  for (size_t i = 1; i < n; ++i) {
    const Item item = items[i];
    size_t j = i;
    for (; j > 0 && KeyOf(item) < KeyOf(items[j - 1]); --j) items[j] = items[j - 1];
    items[j] = item;
  }
}

template <size_t kBits, class Item>
HWY_INLINE void DigitSort(SortScratch<Item>& s, size_t n) {
  using Key = decltype(KeyOf(*s.items));
  constexpr size_t kValues = size_t{1} << kBits, kDigits = (8 * sizeof(Key) + kBits - 1) / kBits;
  for (size_t i = 0; i < kDigits * kValues; ++i) s.counts[i] = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t digit = 0; digit < kDigits; ++digit)
      ++s.counts[digit * kValues + ((KeyOf(s.items[i]) >> (digit * kBits)) & (kValues - 1))];
  for (size_t digit = 0; digit < kDigits; ++digit) {
    const size_t shift = digit * kBits;
    uint32_t* const places = s.counts + digit * kValues;
    if (places[(KeyOf(s.items[0]) >> shift) & (kValues - 1)] == n) continue;  // all alike
    uint32_t total = 0;
    for (size_t value = 0; value < kValues; ++value) total += std::exchange(places[value], total);
    for (size_t i = 0; i < n; ++i)
      s.others[places[(KeyOf(s.items[i]) >> shift) & (kValues - 1)]++] = s.items[i];
    std::swap(s.items, s.others);
  }
}

// Sorts s.items, which may end where s.others was.
template <class Item>
HWY_NOINLINE void SortItems(SortScratch<Item>& s, size_t n) {
  constexpr size_t kShort = 48, kLong = 1024;
  if (n <= kShort) return InsertionSort(s.items, n);
  if (n < kLong) return DigitSort<8>(s, n);
  DigitSort<kSortDigitBits>(s, n);
}

}  // namespace distill::inline DISTILL_ABI::simd::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
