#pragma once

#include <cstddef>
#include <distill/curriculum/cursor.hpp>
#include <distill/schedule/ctkd.hpp>
#include <distill/schedule/taid.hpp>
#include <distill/teacher/balance.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace distill::inline DISTILL_ABI {

/// What is refused before it is looked at, so that a hostile file costs little memory and time.
struct json_limits {
  std::size_t bytes = std::size_t{1} << 20;  // of the text
  std::size_t depth = 16;                    // of nested objects and arrays
  std::size_t entries = 1000;                // of one object or array
  std::size_t defects = 100;                 // that are listed; the others are counted
};

/// A text that is not what it should be, with every defect: `stages[1].loss_weight: must be >= 0, got -0.2`.
class json_error : public data_error {
 public:
  explicit json_error(std::vector<curriculum_defect> defects);
  const std::vector<curriculum_defect>& defects() const { return defects_; }

 private:
  std::vector<curriculum_defect> defects_;
};

/// What can be saved as JSON: a curriculum, a schedule, and the states of cursor, taid, ctkd and
/// gradient_balance.
template <class T>
concept json_value =
    std::same_as<T, curriculum> || std::same_as<T, schedule> || std::same_as<T, cursor_state> ||
    std::same_as<T, taid_state> || std::same_as<T, ctkd_state> || std::same_as<T, gradient_balance_state>;

/// Reads a value from JSON text: all of it, or nothing.
///
/// Format: `docs/curriculum/curriculum.md`, and `docs/curriculum/curriculum.schema.json` for tools.
/// Throws: json_error naming every defect and where it is: text that is not JSON (line and column), keys
/// that are missing, unknown (with the nearest known one) or given twice, wrong types, values outside their
/// range, and what defects_of finds in a curriculum. The state of a cursor is compared with its curriculum
/// by cursor::restore.
/// Numbers: doubles are read back with the bits they were saved with.
/// Cost: memory and time are proportional to the text, which `limits` bounds.
template <json_value T>
T load_json(std::string_view text, const json_limits& limits = {});

/// Writes a value as JSON text that load_json reads back as an equal value. Parameters that have their
/// default value are left out.
/// Throws: data_error for a name that is not UTF-8; json_error for a curriculum with defects.
template <json_value T>
std::string save_json(const T& value);

/// The same, from and to a file. A file is written beside its place first, so that no half of it is ever
/// seen.
/// Throws: data_error for a file that cannot be read or written, json_error as above.
template <json_value T>
T load_json_file(const std::string& path, const json_limits& limits = {});
template <json_value T>
void save_json_file(const T& value, const std::string& path);

}  // namespace distill::inline DISTILL_ABI

#include <distill/interop/json-inl.hpp>
