// Values to a JSON document. What has its default value is left out.
#pragma once

#include <bit>
#include <distill/interop/json_reader-inl.hpp>

namespace distill::inline DISTILL_ABI::detail {

/// Equal to the bit: -0 is not 0.
template <class T>
bool is_same(const T& a, const T& b) {
  if constexpr (std::is_same_v<T, double>)
    return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
  else
    return a == b;
}

struct json_writer {
  static json_document json_of(double value) { return value; }
  static json_document json_of(std::int64_t value) { return value; }
  static json_document json_of(std::size_t value) { return value; }
  static json_document json_of(bool value) { return value; }
  static json_document json_of(const std::string& value) { return value; }
  static json_document json_of(const short_name& value) { return std::string(std::string_view(value)); }

  template <std::size_t Count>
  static json_document json_of(const std::array<double, Count>& values) {
    return values;
  }
  static json_document json_of(const schedule_points& points) {
    json_document json = json_document::array();
    for (const schedule_point& point : points)
      json.push_back(json_document::array({point.step, point.value}));
    return json;
  }

  /// An object with the parameters of a value, behind what it has already.
  template <class T>
  static void append_parameters(json_document& json, const T& value) {
    static const T standard{};
    const auto append = [&](const auto& p) {
      if constexpr (requires { (value.*p.member).has_value(); }) {
        if ((value.*p.member).has_value()) json[p.name] = json_of(*(value.*p.member));
      } else if (p.is_required || !is_same(value.*p.member, standard.*p.member)) {
        json[p.name] = json_of(value.*p.member);
      }
    };
    std::apply([&](const auto&... p) { (append(p), ...); }, T::parameters());
  }

  static json_document json_of(const schedule& value) {
    json_document json = std::visit(
        []<class S>(const S& one) {
          if constexpr (std::is_same_v<S, constant_schedule>) return json_document(one.value);
          json_document object = {{"kind", json_name<S>()}};
          append_parameters(object, one);
          return object;
        },
        value.innermost());
    for (const schedule_wrapper& w : value.wrappers()) {
      json_document outer = json_document::object();
      if (w.what == schedule_wrapper::kind::warm_up) {
        outer = {{"kind", "warm_up"}, {"then", std::move(json)}, {"steps", w.steps}};
        if (!is_same(w.from, 0.0)) outer["from"] = w.from;
      } else {
        outer = {{"kind", "clamped"}, {"of", std::move(json)}};
        if (std::isfinite(w.low)) outer["low"] = w.low;
        if (std::isfinite(w.high)) outer["high"] = w.high;
      }
      json = std::move(outer);
    }
    return json;
  }

  static json_document json_of(const std::vector<named_weight>& values) {
    json_document json = json_document::object();
    for (const named_weight& one : values) json[one.name] = json_of(one.weight);
    return json;
  }

  template <class T>
  static json_document json_of(const std::vector<T>& values) {
    json_document json = json_document::array();
    for (const T& one : values) json.push_back(json_of(one));
    return json;
  }

  template <class T>
  static json_document json_of(const T& value) {
    if constexpr (std::is_enum_v<T>) {
      return names_of(T{})[static_cast<std::size_t>(value)];
    } else {
      json_document json = json_document::object();
      append_parameters(json, value);
      return json;
    }
  }
};

}  // namespace distill::inline DISTILL_ABI::detail
