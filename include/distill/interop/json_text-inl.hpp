// JSON text to a document, within limits, every key once.
#pragma once

#include <algorithm>
#include <cstdint>
#include <distill/curriculum/place-inl.hpp>
#include <distill/interop/json.hpp>
#include <nlohmann/json.hpp>
#include <set>

namespace distill::inline DISTILL_ABI::detail {

using json_document = nlohmann::ordered_json;

/// Follows the parser through the text: where it is, how deep, which keys it has seen.
class json_watch {
 public:
  json_watch(const json_limits& limits, std::vector<curriculum_defect>& defects)
      : limits_(limits), defects_(defects) {}

  bool operator()(int /*depth*/, json_document::parse_event_t event, const json_document& parsed) {
    using kind = json_document::parse_event_t;
    switch (event) {
      case kind::object_start:
      case kind::array_start:
        count_entry();
        if (open_.size() == limits_.depth)
          refuse("must not be nested more than " + std::to_string(limits_.depth) + " deep");
        open_.push_back({.is_object = event == kind::object_start});
        break;
      case kind::object_end:
      case kind::array_end:
        open_.pop_back();
        break;
      case kind::key:
        see_key(parsed.get_ref<const std::string&>());
        break;
      default:
        count_entry();
        break;
    }
    return true;
  }

 private:
  struct level {
    bool is_object = false;
    std::size_t entries = 0;
    std::string key = {};
    std::set<std::string> keys = {};
  };

  void count_entry() {
    if (open_.empty() || open_.back().is_object) return;
    if (open_.back().entries++ == limits_.entries) refuse_entries();
  }
  void see_key(const std::string& key) {
    level& here = open_.back();
    here.key = key;
    if (!here.keys.insert(key).second) defects_.push_back({place(), "is given twice"});
    if (here.entries++ == limits_.entries) refuse_entries();
  }

  std::string place() const {
    std::string text;
    for (const level& one : open_)
      text = one.is_object ? place_of(text, one.key) : place_of(text, one.entries == 0 ? 0 : one.entries - 1);
    return text.empty() ? "document" : text;
  }
  void refuse_entries() { refuse("is one of more than " + std::to_string(limits_.entries)); }
  [[noreturn]] void refuse(std::string what) { throw json_error({{place(), std::move(what)}}); }

  const json_limits& limits_;
  std::vector<curriculum_defect>& defects_;
  std::vector<level> open_;
};

inline std::string line_and_column(std::string_view text, std::size_t byte) {
  const std::string_view before = text.substr(0, std::min(byte == 0 ? 0 : byte - 1, text.size()));
  const auto line = std::count(before.begin(), before.end(), '\n');
  const std::size_t last = before.rfind('\n');
  const std::size_t column = before.size() - (last == std::string_view::npos ? 0 : last + 1);
  return "line " + std::to_string(line + 1) + ", column " + std::to_string(column + 1);
}

/// What the parser says, without its own prefix and position, short and printable.
inline std::string reason_of(std::string_view message) {
  for (const std::string_view mark : {"column ", "] "}) {
    const std::size_t found = message.find(mark);
    if (found == std::string_view::npos) continue;
    message.remove_prefix(found + mark.size());
    if (mark == "column ") message.remove_prefix(std::min(message.find(": ") + 2, message.size()));
    break;
  }
  std::string text(message.substr(0, 200));
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e) c = '?';
  return text;
}

inline json_document parse_json(std::string_view text, const json_limits& limits,
                                std::vector<curriculum_defect>& defects) {
  if (text.size() > limits.bytes)
    throw json_error({{"document", "must be at most " + std::to_string(limits.bytes) + " bytes, has " +
                                       std::to_string(text.size())}});
  json_watch watch(limits, defects);
  try {
    return json_document::parse(text.begin(), text.end(), std::ref(watch));
  } catch (const json_document::parse_error& error) {
    throw json_error({{line_and_column(text, error.byte), "is not JSON: " + reason_of(error.what())}});
  } catch (const json_document::exception& error) {
    throw json_error({{"document", "cannot be read: " + reason_of(error.what())}});
  }
}

}  // namespace distill::inline DISTILL_ABI::detail
