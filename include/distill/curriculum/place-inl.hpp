// Where something is in a curriculum, as text.
#pragma once

#include <algorithm>
#include <distill/version.hpp>
#include <string>
#include <string_view>

namespace distill::inline DISTILL_ABI::detail {

/// `stages[1].objectives.forward_kl`; a name that could be misread is put in quotes.
inline std::string place_of(const std::string& parent, std::string_view name) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  if (!name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), is_plain))
    return parent.empty() ? std::string(name) : parent + "." + std::string(name);
  std::string quoted;
  for (const char c : name.substr(0, 64)) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return parent + "[\"" + quoted + (name.size() > 64 ? "..." : "") + "\"]";
}
inline std::string place_of(const std::string& parent, std::size_t index) {
  return parent + "[" + std::to_string(index) + "]";
}

}  // namespace distill::inline DISTILL_ABI::detail
