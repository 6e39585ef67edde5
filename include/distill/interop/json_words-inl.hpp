// The words of JSON documents, and which was meant by one that is not known.
#pragma once

#include <algorithm>
#include <distill/version.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace distill::inline DISTILL_ABI::detail {

/// How many letters must be inserted, removed or replaced, or neighbours exchanged, to make one word the
/// other.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before_last = std::exchange(last, row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

/// `; did you mean temperature?`, or all that is known where nothing is near.
inline std::string suggestion(std::string_view word, const std::vector<const char*>& known) {
  const char* nearest = nullptr;
  std::size_t least = std::max<std::size_t>(2, word.size() / 2) + 1;
  for (const char* one : known)
    if (const std::size_t distance = word.size() > 64 ? least : edit_distance(word, one); distance < least) {
      nearest = one;
      least = distance;
    }
  if (nearest != nullptr) return std::string("; did you mean ") + nearest + "?";
  std::string all = "; known are ";
  for (const char* one : known) all += std::string(one == known.front() ? "" : ", ") + one;
  return all;
}

/// The name of a kind of schedule in JSON: cosine_schedule is cosine.
template <class S>
std::string_view json_name() {
  std::string_view name = S::name;
  constexpr std::string_view suffix = "_schedule";
  if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  return name;
}

inline std::vector<const char*> schedule_kinds() {
  return {"constant",   "linear",    "cosine",           "cosine_restarts", "exponential",
          "polynomial", "piecewise", "temperature_ramp", "warm_up",         "clamped"};
}

}  // namespace distill::inline DISTILL_ABI::detail
