// Loading and saving.
#pragma once

#include <cstdio>
#include <distill/interop/json_writer-inl.hpp>
#include <fstream>

namespace distill::inline DISTILL_ABI {

namespace detail {

constexpr std::int64_t json_version = 1;

inline std::string text_of(const std::vector<curriculum_defect>& defects) {
  std::string text = std::to_string(defects.size()) + (defects.size() == 1 ? " defect" : " defects");
  for (const curriculum_defect& one : defects) text += "\n" + one.place + ": " + one.what;
  return text;
}

/// The defects of a value that could be read in parts; not those that follow from one that is known.
inline void add_consequent(std::vector<curriculum_defect>& defects,
                           const std::vector<curriculum_defect>& more) {
  const std::size_t count = defects.size();
  const auto is_known = [&](const curriculum_defect& one) {
    return std::any_of(defects.begin(), defects.begin() + static_cast<std::ptrdiff_t>(count),
                       [&](const auto& known) {
                         if (!one.place.starts_with(known.place)) return false;
                         const std::string_view rest = std::string_view(one.place).substr(known.place.size());
                         return rest.empty() || rest.front() == '.' || rest.front() == '[';
                       });
  };
  for (const curriculum_defect& one : more)
    if (!is_known(one)) defects.push_back(one);
}

inline void read_version(json_reader& reader, const json_document& json) {
  const auto found = json.find("version");
  if (found == json.end()) return reader.add("version", "is missing, must be 1");
  if (!found->is_number_integer() || *found != json_version) reader.add("version", "must be 1");
}

[[noreturn]] inline void throw_defects(std::vector<curriculum_defect> defects, std::size_t most) {
  const std::size_t count = defects.size();
  if (count > most) {
    defects.resize(most);
    defects.push_back({"document", "has " + std::to_string(count - most) + " defects more"});
  }
  throw json_error(std::move(defects));
}

}  // namespace detail

inline json_error::json_error(std::vector<curriculum_defect> defects)
    : data_error(detail::text_of(defects)), defects_(std::move(defects)) {}

template <json_value T>
T load_json(std::string_view text, const json_limits& limits) {
  std::vector<curriculum_defect> defects;
  const detail::json_document json = detail::parse_json(text, limits, defects);
  detail::json_reader reader(defects);
  T value{};
  if constexpr (std::same_as<T, schedule>) {
    reader.read("", json, value);
  } else {
    reader.read("", json, value, {"version", "$schema"});
    if (!json.is_object()) detail::throw_defects(std::move(defects), limits.defects);
    detail::read_version(reader, json);
    if constexpr (std::same_as<T, curriculum>)
      detail::add_consequent(defects, defects_of(value));
    else
      reader.check_ranges_of("", value);
  }
  if (!defects.empty()) detail::throw_defects(std::move(defects), limits.defects);
  return value;
}

template <json_value T>
std::string save_json(const T& value) {
  detail::json_document json = detail::json_document::object();
  if constexpr (std::same_as<T, curriculum>)
    if (auto defects = defects_of(value); !defects.empty()) throw json_error(std::move(defects));
  try {
    if constexpr (std::same_as<T, schedule>) {
      json = detail::json_writer::json_of(value);
    } else {
      json["version"] = detail::json_version;
      detail::json_writer::append_parameters(json, value);
    }
    return json.dump(2) + "\n";
  } catch (const detail::json_document::exception&) {
    throw data_error("save_json: a name is not UTF-8");
  }
}

template <json_value T>
T load_json_file(const std::string& path, const json_limits& limits) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw data_error("load_json_file: cannot open " + path);
  std::string text, piece(std::size_t{1} << 16, '\0');
  while (text.size() <= limits.bytes &&
         file.read(piece.data(), static_cast<std::streamsize>(piece.size())).gcount() > 0)
    text.append(piece, 0, static_cast<std::size_t>(file.gcount()));
  if (file.bad()) throw data_error("load_json_file: cannot read " + path);
  return load_json<T>(text, limits);
}

template <json_value T>
void save_json_file(const T& value, const std::string& path) {
  const std::string text = save_json(value), beside = path + ".partial";
  {
    std::ofstream file(beside, std::ios::binary | std::ios::trunc);
    file << text << std::flush;
    if (!file) throw data_error("save_json_file: cannot write " + beside);
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0)
    throw data_error("save_json_file: cannot rename " + beside + " to " + path);
}

}  // namespace distill::inline DISTILL_ABI
