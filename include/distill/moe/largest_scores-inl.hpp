// The k largest of a token's scores, where k is small.
#pragma once

#include <cstddef>
#include <distill/version.hpp>
#include <utility>
#include <vector>

namespace distill::inline DISTILL_ABI::detail {

// In descending order, equal scores in the order they came. Scores are not NaN.
class largest_scores {
 public:
  struct entry {
    double score;
    std::size_t index;
  };

  explicit largest_scores(std::size_t most) : most_(most) { entries_.reserve(most + 1); }

  void clear() { entries_.clear(); }
  void add(double score, std::size_t index) {
    if (entries_.size() == most_ && !(score > entries_.back().score)) return;
    entries_.push_back({score, index});
    for (std::size_t i = entries_.size() - 1; i > 0 && entries_[i - 1].score < score; --i)
      std::swap(entries_[i - 1], entries_[i]);
    if (entries_.size() > most_) entries_.pop_back();
  }
  const entry& operator[](std::size_t rank) const { return entries_[rank]; }

 private:
  std::size_t most_;
  std::vector<entry> entries_;
};

}  // namespace distill::inline DISTILL_ABI::detail
