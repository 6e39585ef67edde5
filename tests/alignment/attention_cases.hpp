#pragma once

#include <algorithm>
#include <cstring>
#include <distill/alignment/attention_kl.hpp>
#include <distill/alignment/attention_mse.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "alignment/attention_oracle.hpp"
#include "support/guarded_matrix.hpp"
#include "support/larger_error.hpp"
#include "support/random_logits.hpp"

namespace attention_cases {

using attention_oracle::number;

template <class Loss>
constexpr attention_oracle::formula formula_of =
    std::is_same_v<Loss, distill::attention_kl> ? attention_oracle::formula::kl
                                                : attention_oracle::formula::mse;

enum class memory {
  compact,
  heads_inside,
  padded,
  keys_strided
};  // heads_inside: [batch, rows, heads, columns]

/// A tensor in memory where everything that is not an element is NaN, and stays it.
template <class T>
class guarded_tensor {
 public:
  guarded_tensor(std::size_t b, std::size_t h, std::size_t r, std::size_t c, memory how = memory::compact)
      : extents_{b, h, r, c} {
    const auto s = [](std::size_t n) { return static_cast<std::ptrdiff_t>(n); };
    switch (how) {
      case memory::compact:
        strides_ = {s(h * r * c), s(r * c), s(c), 1};
        break;
      case memory::heads_inside:
        strides_ = {s(r * h * c), s(c), s(h * c), 1};
        break;
      case memory::padded:
        strides_ = {s(h * r * (c + 3) + 7), s(r * (c + 3)), s(c + 3), 1};
        break;
      case memory::keys_strided:
        strides_ = {s(h * r * c), s(r * c), 1, s(r)};
        break;
    }
    std::size_t last = guard;
    for (std::size_t i = 0; i < 4; ++i) last += (extents_[i] - 1) * static_cast<std::size_t>(strides_[i]);
    memory_.resize(last + 1 + guard);
    std::memset(static_cast<void*>(memory_.data()), 0xff, memory_.size() * sizeof(T));
  }
  guarded_tensor(const attention_oracle::tensor& x, memory how = memory::compact)
      : guarded_tensor(x.batch, x.heads, x.rows, x.columns, how) {
    set(x);
  }

  distill::tensor_view<T> view() { return {memory_.data() + guard, extents_, strides_}; }
  distill::tensor_view<const T> view() const { return {memory_.data() + guard, extents_, strides_}; }
  T& operator()(std::size_t b, std::size_t h, std::size_t r, std::size_t c) { return view()(b, h, r, c); }

  template <class F>
  void for_each(F f) const {
    for (std::size_t b = 0; b < extents_[0]; ++b)
      for (std::size_t h = 0; h < extents_[1]; ++h)
        for (std::size_t r = 0; r < extents_[2]; ++r)
          for (std::size_t c = 0; c < extents_[3]; ++c) f(b, h, r, c);
  }
  void set(const attention_oracle::tensor& x) {
    for_each([&](auto b, auto h, auto r, auto c) {
      (*this)(b, h, r, c) = support::from_double<T>(static_cast<double>(x.at(b, h, r, c)));
    });
  }
  void fill(double value) {
    for_each([&](auto b, auto h, auto r, auto c) { (*this)(b, h, r, c) = support::from_double<T>(value); });
  }
  attention_oracle::tensor exact() const {
    attention_oracle::tensor x(extents_[0], extents_[1], extents_[2], extents_[3]);
    for_each(
        [&](auto b, auto h, auto r, auto c) { x.at(b, h, r, c) = support::to_double(view()(b, h, r, c)); });
    return x;
  }
  std::vector<unsigned char> bits() const {
    std::vector<unsigned char> result;
    for_each([&](auto b, auto h, auto r, auto c) {
      unsigned char bytes[sizeof(T)];
      std::memcpy(bytes, &view()(b, h, r, c), sizeof(T));
      result.insert(result.end(), bytes, bytes + sizeof(T));
    });
    return result;
  }
  bool is_intact() const {
    std::vector<bool> is_element(memory_.size(), false);
    for_each([&](auto b, auto h, auto r, auto c) {
      is_element[static_cast<std::size_t>(&view()(b, h, r, c) - memory_.data())] = true;
    });
    for (std::size_t i = 0; i < memory_.size(); ++i) {
      unsigned char bytes[sizeof(T)];
      std::memcpy(bytes, &memory_[i], sizeof(T));
      if (!is_element[i] && std::any_of(bytes, bytes + sizeof(T), [](unsigned char c) { return c != 0xff; }))
        return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t guard = 16;
  std::array<std::size_t, 4> extents_;
  std::array<std::ptrdiff_t, 4> strides_{};
  std::vector<T> memory_;
};

inline attention_oracle::tensor random_tensor(std::size_t b, std::size_t h, std::size_t r, std::size_t c,
                                              std::uint64_t seed, double deviation = 2) {
  support::random_source random(seed);
  attention_oracle::tensor x(b, h, r, c);
  for (number& value : x.values) value = static_cast<float>(deviation * random.normal());
  return x;
}

/// Masks as the library takes them, and as the oracle does.
struct masks {
  std::string name = "none";
  std::vector<std::uint8_t> keys = {}, queries = {};  // [batch, keys], [batch, queries]
  std::vector<std::int64_t> key_lengths = {}, query_lengths = {};
  bool causal = false;

  distill::attention_options options(std::size_t batch, std::size_t query_count,
                                     std::size_t key_count) const {
    distill::attention_options o;
    if (!keys.empty()) o.key_mask = distill::mask_view(keys.data(), batch, key_count);
    if (!queries.empty()) o.query_mask = distill::mask_view(queries.data(), batch, query_count);
    if (!key_lengths.empty()) o.key_lengths = key_lengths;
    if (!query_lengths.empty()) o.query_lengths = query_lengths;
    o.causal = causal;
    return o;
  }
  attention_oracle::visibility visible(std::size_t query_count, std::size_t key_count) const {
    return [this, query_count, key_count](std::size_t b, std::size_t i, std::size_t j) {
      const auto below = [&](std::size_t at, const std::vector<std::int64_t>& lengths) {
        return lengths.empty() || static_cast<std::int64_t>(at) < lengths[b];
      };
      return (keys.empty() || keys[b * key_count + j] != 0) &&
             (queries.empty() || queries[b * query_count + i] != 0) && below(j, key_lengths) &&
             below(i, query_lengths) && (!causal || j <= i + key_count - query_count);
    };
  }
};

/// Every kind of mask, alone and together. The first sample of "no keys" sees nothing.
inline std::vector<masks> every_mask(std::size_t batch, std::size_t queries, std::size_t keys,
                                     std::uint64_t seed) {
  support::random_source random(seed);
  const auto random_mask = [&](std::size_t positions) {
    std::vector<std::uint8_t> mask(batch * positions);
    for (auto& each : mask) each = random.uniform() < 0.7 ? 1 : 0;
    return mask;
  };
  const auto lengths = [&](std::size_t positions) {
    std::vector<std::int64_t> result;
    for (std::size_t b = 0; b < batch; ++b)
      result.push_back(1 + static_cast<std::int64_t>((positions - 1) * (b + 1) / batch));
    return result;
  };
  std::vector<masks> all(1);
  all.push_back({.name = "gaps in the keys", .keys = random_mask(keys)});
  all.push_back({.name = "queries", .queries = random_mask(queries)});
  all.push_back({.name = "lengths", .key_lengths = lengths(keys), .query_lengths = lengths(queries)});
  masks left{.name = "padding on the left", .keys = std::vector<std::uint8_t>(batch * keys, 1)};
  for (std::size_t b = 0; b < batch; ++b)
    std::fill_n(left.keys.begin() + static_cast<std::ptrdiff_t>(b * keys), keys / 3, 0);
  all.push_back(left);
  masks none{.name = "no keys", .keys = std::vector<std::uint8_t>(batch * keys, 1)};
  std::fill_n(none.keys.begin(), keys, 0);
  all.push_back(none);
  if (keys < queries) return all;
  all.push_back({.name = "causal", .causal = true});
  left.name = "causal, padding on the left", left.causal = true;
  all.push_back(left);
  all.push_back({.name = "everything",
                 .keys = random_mask(keys),
                 .queries = random_mask(queries),
                 .key_lengths = lengths(keys),
                 .query_lengths = lengths(queries),
                 .causal = true});
  return all;
}

/// Sets what nobody may read to NaN.
inline void spoil_hidden(attention_oracle::tensor& map, const attention_oracle::visibility& visible) {
  for (std::size_t b = 0; b < map.batch; ++b)
    for (std::size_t h = 0; h < map.heads; ++h)
      for (std::size_t i = 0; i < map.rows; ++i)
        for (std::size_t j = 0; j < map.columns; ++j)
          if (!visible(b, i, j)) map.at(b, h, i, j) = std::numeric_limits<number>::quiet_NaN();
}

/// The largest error relative to the largest entry.
inline double deviation(const attention_oracle::tensor& got, const attention_oracle::tensor& expected) {
  number worst = 0, largest = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    const number error = std::abs(got.values[i] - expected.values[i]);
    worst = support::larger_error(worst, error);
    largest = std::max(largest, std::abs(expected.values[i]));
  }
  return static_cast<double>(largest > 0 ? worst / largest : worst);
}
inline double deviation(double got, number expected) {
  return static_cast<double>(expected == 0 ? std::abs(got) : std::abs((got - expected) / expected));
}

}  // namespace attention_cases
