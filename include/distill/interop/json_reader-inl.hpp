// A JSON document to values. Every defect is kept with its place; a value that has one stays as it was.
#pragma once

#include <array>
#include <cmath>
#include <distill/error/parameter_text-inl.hpp>
#include <distill/interop/json_text-inl.hpp>
#include <distill/interop/json_words-inl.hpp>
#include <limits>
#include <optional>

namespace distill::inline DISTILL_ABI::detail {

class json_reader {
 public:
  explicit json_reader(std::vector<curriculum_defect>& defects) : defects_(defects) {}

  void add(const std::string& place, std::string what) {
    defects_.push_back({place.empty() ? "document" : place, std::move(what)});
  }

  void read(const std::string& place, const json_document& json, double& value) {
    if (!json.is_number()) return add_type(place, "a number", json);
    value = json.get<double>();
  }
  void read(const std::string& place, const json_document& json, std::int64_t& value) {
    if (json.is_number_unsigned() && json.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())
      return add(place, "must be an integer below 2^63");
    if (json.is_number_float()) {
      const double number = json.get<double>();
      if (std::abs(number) > 0x1p53 || number != std::floor(number))
        return add(place, "must be an integer, got " + text_of(number));
      value = static_cast<std::int64_t>(number);
      return;
    }
    if (!json.is_number_integer()) return add_type(place, "an integer", json);
    value = json.get<std::int64_t>();
  }
  void read(const std::string& place, const json_document& json, std::size_t& value) {
    std::int64_t number = 0;
    read(place, json, number);
    if (number < 0) return add(place, "must be >= 0, got " + std::to_string(number));
    value = static_cast<std::size_t>(number);
  }
  template <std::size_t Count>
  void read(const std::string& place, const json_document& json, std::array<double, Count>& values) {
    if (!json.is_array()) return add_type(place, "an array", json);
    if (json.size() != Count)
      return add(place,
                 "must have " + std::to_string(Count) + " entries, has " + std::to_string(json.size()));
    for (std::size_t i = 0; i < Count; ++i) read(place_of(place, i), json[i], values[i]);
  }
  void read(const std::string& place, const json_document& json, bool& value) {
    if (!json.is_boolean()) return add_type(place, "true or false", json);
    value = json.get<bool>();
  }
  void read(const std::string& place, const json_document& json, std::string& value) {
    if (!json.is_string()) return add_type(place, "a string", json);
    value = json.get<std::string>();
  }
  void read(const std::string& place, const json_document& json, short_name& value) {
    if (!json.is_string()) return add_type(place, "a string", json);
    const auto& text = json.get_ref<const std::string&>();
    if (text.size() > short_name::capacity) return add(place, "must be at most 63 bytes");
    value = std::string_view(text);
  }
  template <class E>
  requires std::is_enum_v<E>
  void read(const std::string& place, const json_document& json, E& value) {
    constexpr auto names = names_of(E{});
    if (!json.is_string()) return add_type(place, "a string", json);
    const auto& word = json.get_ref<const std::string&>();
    const auto found = std::find(names.begin(), names.end(), word);
    if (found == names.end())
      return add(place, "is none of those allowed" + suggestion(word, {names.begin(), names.end()}));
    value = static_cast<E>(found - names.begin());
  }
  template <class T>
  void read(const std::string& place, const json_document& json, std::optional<T>& value) {
    T one{};
    const std::size_t before = defects_.size();
    read(place, json, one);
    if (defects_.size() == before) value = std::move(one);
  }
  void read(const std::string& place, const json_document& json, std::vector<named_weight>& values) {
    if (!json.is_object()) return add_type(place, "an object of names and weights", json);
    for (const auto& [name, weight] : json.items())
      read(place_of(place, name), weight, values.emplace_back(named_weight{name}).weight);
  }
  template <class T>
  void read(const std::string& place, const json_document& json, std::vector<T>& values) {
    if (!json.is_array()) return add_type(place, "an array", json);
    for (std::size_t i = 0; i < json.size(); ++i) read(place_of(place, i), json[i], values.emplace_back());
  }
  void read(const std::string& place, const json_document& json, schedule_points& points) {
    if (!json.is_array()) return add_type(place, "an array of [step, value]", json);
    if (json.size() > schedule_points::capacity) return add(place, "holds at most 16 points");
    for (std::size_t i = 0; i < json.size(); ++i) {
      const std::string here = place_of(place, i);
      schedule_point point;
      if (!json[i].is_array() || json[i].size() != 2) {
        add(here, "must be [step, value]");
        continue;
      }
      read(place_of(here, 0), json[i][0], point.step);
      read(place_of(here, 1), json[i][1], point.value);
      points.push_back(point);
    }
  }
  void read(const std::string& place, const json_document& json, schedule& value) {
    const std::size_t before = defects_.size();
    if (json.is_number()) {
      double number = 0;
      read(place, json, number);
      if (std::isfinite(number)) value = number;
      return;
    }
    if (!json.is_object()) return add_type(place, "a number or a schedule", json);
    const auto kind = json.find("kind");
    if (kind == json.end())
      return add(place_of(place, "kind"), "is missing" + suggestion("", schedule_kinds()));
    if (!kind->is_string()) return add_type(place_of(place, "kind"), "a string", *kind);
    std::optional<schedule> made;
    if (!read_kind(place, json, kind->get_ref<const std::string&>(), made)) return;
    if (defects_.size() == before && made) value = *made;
  }

  /// An object whose keys are the parameters of T, and those in `more`, which the caller reads.
  template <class T>
  requires requires { T::parameters(); }
  void read(const std::string& place, const json_document& json, T& value,
            std::vector<const char*> more = {}) {
    if (!json.is_object()) return add_type(place, "an object", json);
    std::vector<const char*> known = std::move(more);
    const auto read_one = [&](const auto& p) {
      known.push_back(p.name);
      const auto found = json.find(p.name);
      if (found != json.end())
        read(place_of(place, p.name), *found, value.*p.member);
      else if (p.is_required)
        add(place_of(place, p.name), "is missing");
    };
    std::apply([&](const auto&... p) { (read_one(p), ...); }, T::parameters());
    require_known(place, json, known);
  }

  void require_known(const std::string& place, const json_document& json,
                     const std::vector<const char*>& known) {
    for (const auto& [key, unused] : json.items())
      if (std::find(known.begin(), known.end(), key) == known.end())
        add(place_of(place, key), "is unknown" + suggestion(key, known));
  }

  /// The ranges of a value's parameters.
  template <class T>
  void check_ranges_of(const std::string& place, const T& value) {
    const auto report = [&](std::string_view name, std::string_view expected, double got) {
      const std::string_view member = name.substr(0, name.find('['));  // then an entry's index
      add(place_of(place, member) + std::string(name.substr(member.size())),
          "must be " + std::string(expected) + ", got " + text_of(got));
    };
    check_ranges(value, report);
    if constexpr (requires { value.check_together(report); }) value.check_together(report);
  }

 private:
  void add_type(const std::string& place, const char* expected, const json_document& got) {
    const std::string name = got.type_name();
    add(place, std::string("must be ") + expected + ", got " +
                   (name == "null"                        ? ""
                    : name == "object" || name == "array" ? "an "
                                                          : "a ") +
                   name);
  }

  /// False where the kind is not known.
  bool read_kind(const std::string& place, const json_document& json, const std::string& kind,
                 std::optional<schedule>& made) {
    if (kind == "warm_up") return read_warm_up(place, json, made), true;
    if (kind == "clamped") return read_clamped(place, json, made), true;
    const bool is_known = read_leaf<0>(place, json, kind, made);
    if (!is_known) add(place_of(place, "kind"), "is no schedule" + suggestion(kind, schedule_kinds()));
    return is_known;
  }

  template <std::size_t I>
  bool read_leaf(const std::string& place, const json_document& json, const std::string& kind,
                 std::optional<schedule>& made) {
    if constexpr (I < std::variant_size_v<schedule::kinds>) {
      using leaf = std::variant_alternative_t<I, schedule::kinds>;
      if (kind != json_name<leaf>()) return read_leaf<I + 1>(place, json, kind, made);
      leaf one{};
      const std::size_t before = defects_.size();
      read(place, json, one, {"kind"});
      if (defects_.size() == before) check_ranges_of(place, one);
      if (defects_.size() == before) made = one;
      return true;
    } else {
      return false;
    }
  }

  void read_warm_up(const std::string& place, const json_document& json, std::optional<schedule>& made) {
    warm_up<schedule> one{};
    const std::size_t before = defects_.size();
    read(place, json, one, {"kind"});
    check_ranges_of(place, one);
    wrap(place, one, before, made);
  }

  void read_clamped(const std::string& place, const json_document& json, std::optional<schedule>& made) {
    clamped<schedule> one{};
    const std::size_t before = defects_.size();
    const auto of = json.find("of"), low = json.find("low"), high = json.find("high");
    if (of != json.end())
      read(place_of(place, "of"), *of, one.of);
    else
      add(place_of(place, "of"), "is missing");
    if (low != json.end()) read(place_of(place, "low"), *low, one.low);
    if (high != json.end()) read(place_of(place, "high"), *high, one.high);
    require_known(place, json, {"kind", "of", "low", "high"});
    if (!(one.low <= one.high)) add(place_of(place, "high"), "must be >= low, got " + text_of(one.high));
    wrap(place, one, before, made);
  }

  template <class W>
  void wrap(const std::string& place, const W& one, std::size_t before, std::optional<schedule>& made) {
    if (defects_.size() != before) return;
    try {
      made = schedule(one);
    } catch (const parameter_error& error) {
      add(place, error.what());
    }
  }

  std::vector<curriculum_defect>& defects_;
};

}  // namespace distill::inline DISTILL_ABI::detail
