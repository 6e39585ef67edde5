// Reproducible from (seed, row, step), each within its stated bounds, in any batches.
#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <distill/curriculum/augmentation.hpp>
#include <limits>
#include <numeric>
#include <vector>

using namespace distill;

namespace {

constexpr std::size_t kRows = 12, kColumns = 40;

template <class T = double>
std::vector<T> some_rows() {
  std::vector<T> memory(kRows * kColumns);
  for (std::size_t i = 0; i < memory.size(); ++i)
    memory[i] = static_cast<T>(10 + std::sin(static_cast<double>(i)));
  return memory;
}

template <class A>
std::vector<double> augmented(const A& augmentation, const augmentation_key& key = {}) {
  std::vector<double> memory = some_rows();
  augmentation(matrix_view(memory.data(), kRows, kColumns), key);
  return memory;
}

template <class A>
void check_reproducible(const A& augmentation) {
  const augmentation_key key{.seed = 3, .step = 5, .first_row = 100};
  const std::vector<double> whole = augmented(augmentation, key);
  CHECK(augmented(augmentation, key) == whole);
  CHECK(augmented(augmentation, {4, 5, 100}) != whole);
  CHECK(augmented(augmentation, {3, 6, 100}) != whole);
  CHECK(augmented(augmentation, {3, 5, 101}) != whole);
  // In batches, by several workers.
  std::vector<double> parts = some_rows();
  for (const std::size_t begin : {8, 0, 3}) {
    const std::size_t end = begin == 8 ? 12 : begin == 0 ? 3 : 8;
    augmentation(matrix_view(parts.data() + begin * kColumns, end - begin, kColumns),
                 {3, 5, 100 + static_cast<std::int64_t>(begin)});
  }
  CHECK(parts == whole);
  // Column-major, with padding that must not be touched.
  std::vector<double> strided(kColumns * (kRows + 2), -7);
  const std::vector<double> plain = some_rows();
  const matrix_view<double> view(strided.data(), kRows, kColumns, 1, kRows + 2);
  for (std::size_t i = 0; i < plain.size(); ++i) view(i / kColumns, i % kColumns) = plain[i];
  augmentation(view, key);
  for (std::size_t i = 0; i < plain.size(); ++i) CHECK(view(i / kColumns, i % kColumns) == whole[i]);
  for (std::size_t column = 0; column < kColumns; ++column)
    CHECK(strided[column * (kRows + 2) + kRows] == -7);
  // Nothing there.
  augmentation(matrix_view<double>(), key);
  augmentation(matrix_view<double>(nullptr, 3, 0), key);
  std::vector<float> narrow = some_rows<float>();
  augmentation(matrix_view(narrow.data(), kRows, kColumns), key);
  for (std::size_t i = 0; i < narrow.size(); ++i)
    CHECK(static_cast<double>(narrow[i]) == Approx(whole[i]).epsilon(1e-6));
  CHECK_THROWS_AS(augmentation(matrix_view<double>(nullptr, 3, 4), key), layout_error);
  CHECK_THROWS_AS(augmentation(matrix_view(parts.data(), kRows, kColumns), {.step = -1}), parameter_error);
}

}  // namespace

TEST_CASE("relative_jitter: amounts within 5 %") {
  check_reproducible(relative_jitter{});
  const std::vector<double> before = some_rows(), after = augmented(relative_jitter{});
  double sum = 0, largest = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const double change = after[i] / before[i] - 1;
    CHECK(std::abs(change) <= 0.05 * (1 + 1e-12));
    sum += change;
    largest = std::max(largest, std::abs(change));
  }
  CHECK(std::abs(sum) / static_cast<double>(before.size()) < 0.005);
  CHECK(largest > 0.045);
  CHECK(augmented(relative_jitter{.amount = 0}) == before);
  CHECK(augmented(relative_jitter{.amount = 0.1}) != after);
}

TEST_CASE("frequency_burst: in its window, of its size and frequency") {
  check_reproducible(frequency_burst{});
  const frequency_burst burst{.amplitude = 0.5, .lowest = 0.2, .highest = 0.2, .length = 16};
  const std::vector<double> before = some_rows(), after = augmented(burst);
  for (std::size_t row = 0; row < kRows; ++row) {
    double squares = 0;
    for (std::size_t i = 0; i < kColumns; ++i)
      squares += before[row * kColumns + i] * before[row * kColumns + i];
    const double rms = std::sqrt(squares / kColumns);
    std::size_t first = kColumns, last = 0;
    for (std::size_t i = 0; i < kColumns; ++i) {
      const double change = after[row * kColumns + i] - before[row * kColumns + i];
      CHECK(std::abs(change) <= 0.5 * rms);
      if (change == 0) continue;
      first = std::min(first, i);
      last = i;
    }
    REQUIRE(first < kColumns);
    CHECK(last - first < 16);
    CHECK(last - first >= 13);
    // x_{i+1} + x_{i-1} = 2 cos(2π f) x_i, once the window is divided out.
    std::vector<double> wave;
    const std::size_t begin = last + 1 >= 16 && last - first == 15 ? first : kColumns;
    if (begin == kColumns) continue;
    for (std::size_t i = 0; i < 16; ++i) {
      const double window = std::sin(3.14159265358979323846 * (static_cast<double>(i) + 0.5) / 16);
      wave.push_back((after[row * kColumns + begin + i] - before[row * kColumns + begin + i]) /
                     (window * window));
    }
    for (std::size_t i = 1; i + 1 < 16; ++i)
      CHECK(wave[i + 1] + wave[i - 1] ==
            Approx(2 * std::cos(0.4 * 3.14159265358979323846) * wave[i]).margin(1e-9));
  }
  CHECK(augmented(frequency_burst{.chance = 0}) == before);
  const std::vector<double> half = augmented(frequency_burst{.chance = 0.5});
  std::size_t changed = 0;
  for (std::size_t row = 0; row < kRows; ++row)
    changed += !std::equal(half.begin() + static_cast<std::ptrdiff_t>(row * kColumns),
                           half.begin() + static_cast<std::ptrdiff_t>((row + 1) * kColumns),
                           before.begin() + static_cast<std::ptrdiff_t>(row * kColumns));
  CHECK(changed > 1);
  CHECK(changed < 11);
  CHECK(augmented(frequency_burst{.lowest = 0.1}) != augmented(frequency_burst{}));
  CHECK(augmented(frequency_burst{.highest = 0.4}) != augmented(frequency_burst{}));
  CHECK(augmented(frequency_burst{.length = 100}) != augmented(frequency_burst{}));
}

TEST_CASE("time_shift: every fill, against a copy") {
  check_reproducible(time_shift{});
  check_reproducible(time_shift{.most = 90, .fill = shift_fill::wrap});
  const std::vector<double> before = some_rows();
  for (const shift_fill fill : {shift_fill::edge, shift_fill::zero, shift_fill::wrap})
    for (const std::int64_t most : {0, 1, 8, 39, 40, 1000}) {
      const time_shift shift{.most = most, .fill = fill};
      const std::vector<double> after = augmented(shift);
      for (std::size_t row = 0; row < kRows; ++row) {
        const std::int64_t by = shift.shift_of(row, {}), n = kColumns;
        CHECK(std::abs(by) <= most);
        for (std::int64_t to = 0; to < n; ++to) {
          const std::int64_t from = to - by;
          const auto at = [&](std::int64_t i) {
            return before[row * kColumns + static_cast<std::size_t>(i)];
          };
          const double expected = fill == shift_fill::wrap   ? at((from % n + n) % n)
                                  : from >= 0 && from < n    ? at(from)
                                  : fill == shift_fill::zero ? 0
                                                             : at(from < 0 ? 0 : n - 1);
          REQUIRE(after[row * kColumns + static_cast<std::size_t>(to)] == expected);
        }
      }
    }
  std::vector<int> counts(5);
  for (std::int64_t step = 0; step < 5000; ++step)
    ++counts[static_cast<std::size_t>(time_shift{.most = 2}.shift_of(0, {.step = step}) + 2)];
  for (const int count : counts) CHECK(std::abs(count - 1000) < 130);
}

TEST_CASE("masking: exactly its share, in whole blocks") {
  check_reproducible(masking{});
  for (const std::int64_t block : {1, 3, 7, 64})
    for (const double share : {0.0, 0.15, 0.5, 1.0}) {
      const std::vector<double> after = augmented(masking{.share = share, .block = block, .value = -1});
      const auto width = static_cast<std::size_t>(block);
      const std::size_t blocks = (kColumns + width - 1) / width;
      for (std::size_t row = 0; row < kRows; ++row) {
        std::size_t masked = 0;
        for (std::size_t i = 0; i < kColumns; i += width) {
          const auto is_masked = [&](std::size_t column) { return after[row * kColumns + column] == -1; };
          masked += is_masked(i);
          for (std::size_t j = i; j < std::min(i + width, kColumns); ++j) CHECK(is_masked(j) == is_masked(i));
        }
        CHECK(masked == static_cast<std::size_t>(std::llround(share * static_cast<double>(blocks))));
      }
    }
}

TEST_CASE("errors of augmentations leave the rows as they were") {
  std::vector<double> memory = some_rows();
  const std::vector<double> before = memory;
  const matrix_view<double> rows(memory.data(), kRows, kColumns);
  CHECK_THROWS_WITH(relative_jitter{.amount = -1}(rows, {}), "relative_jitter: amount must be >= 0, got -1");
  CHECK_THROWS_WITH(frequency_burst{.highest = 0.6}(rows, {}),
                    "frequency_burst: highest must be in [lowest, 0.5], got 0.6");
  CHECK_THROWS_WITH(frequency_burst{.lowest = 0.3}(rows, {}),
                    "frequency_burst: highest must be in [lowest, 0.5], got 0.25");
  CHECK_THROWS_WITH(frequency_burst{.length = 0}(rows, {}), "frequency_burst: length must be >= 1, got 0");
  CHECK_THROWS_WITH(frequency_burst{.chance = 2}(rows, {}),
                    "frequency_burst: chance must be in [0, 1], got 2");
  CHECK_THROWS_WITH(time_shift{.most = -1}(rows, {}), "time_shift: most must be >= 0, got -1");
  CHECK_THROWS_WITH(time_shift{.most = std::int64_t{1} << 50}(rows, {}),
                    "time_shift: most must be at most 2^40, got 1125899906842624");
  CHECK_THROWS_WITH(masking{.share = 1.5}(rows, {}), "masking: share must be in [0, 1], got 1.5");
  CHECK_THROWS_WITH(masking{.block = 0}(rows, {}), "masking: block must be >= 1, got 0");
  CHECK(memory == before);
}
