// The published schema has the keys, names and ranges that the loader has: both are compared with the same
// lists.
#include <catch2/catch.hpp>
#include <distill/interop/json.hpp>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

using namespace distill;
using nlohmann::json;

namespace {

json schema() {
  std::ifstream file(DISTILL_SCHEMA_FILE);
  return json::parse(file);
}

void check_range(const json& property, value_range range) {
  const auto limit = [&](const char* name) {
    return property.contains(name) ? property[name].get<double>() : -99.0;
  };
  const bool is_open = range == value_range::positive || range == value_range::above_zero_to_one;
  const bool is_from_zero = range == value_range::not_negative || range == value_range::zero_to_one;
  const bool is_to_one = range == value_range::zero_to_one || range == value_range::above_zero_to_one;
  CHECK(limit("exclusiveMinimum") == (is_open ? 0 : -99));
  CHECK(limit("minimum") == (is_from_zero ? 0 : range == value_range::at_least_one ? 1 : -99));
  CHECK(limit("maximum") == (is_to_one ? 1 : -99));
}

template <class T>
void check_default(const json& property, const T& value) {
  if constexpr (std::is_enum_v<T>) {
    constexpr auto names = names_of(T{});
    CHECK(property["enum"] == json(names));
    CHECK(property["default"] == names[static_cast<std::size_t>(value)]);
  } else if constexpr (std::is_same_v<T, short_name>) {
    CHECK(property["default"] == std::string(std::string_view(value)));
    CHECK(property["maxLength"] == short_name::capacity);
  } else if constexpr (std::is_same_v<T, schedule>) {
    CHECK(property["default"].get<double>() == value(0));
  } else if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
    CHECK(property["default"] == json(value));
  }
}

/// The object's keys are the parameters of T and those in `more`, with the same ranges, defaults and
/// requirements.
template <class T>
void check_object(const json& object, std::set<std::string> more) {
  std::set<std::string> known = more, required = more, found;
  const T standard{};
  const auto check = [&](const auto& p) {
    INFO(p.name);
    known.insert(p.name);
    REQUIRE(object["properties"].contains(p.name));
    const json& property = object["properties"][p.name];
    using member = std::remove_cvref_t<decltype(standard.*p.member)>;
    if constexpr (std::is_arithmetic_v<member>) {
      check_range(property, p.range);
      const char* type = std::is_same_v<member, double> ? "number"
                         : std::is_same_v<member, bool> ? "boolean"
                                                        : "integer";
      CHECK(property["type"] == type);
    }
    if (p.is_required)
      required.insert(p.name);
    else
      check_default(property, standard.*p.member);
  };
  std::apply([&](const auto&... p) { (check(p), ...); }, T::parameters());
  for (const auto& [key, unused] : object["properties"].items()) found.insert(key);
  CHECK(found == known);
  required.erase("$schema");
  CHECK(object.value("required", std::set<std::string>()) == required);
  CHECK(object["additionalProperties"] == false);
}

template <std::size_t I = 0>
void check_schedules(const json& definitions, std::set<std::string>& kinds) {
  if constexpr (I < std::variant_size_v<schedule::kinds>) {
    using leaf = std::variant_alternative_t<I, schedule::kinds>;
    const std::string kind(detail::json_name<leaf>());
    INFO(kind);
    check_object<leaf>(definitions[kind], {"kind"});
    CHECK(definitions[kind]["properties"]["kind"]["const"] == kind);
    kinds.insert(kind);
    check_schedules<I + 1>(definitions, kinds);
  }
}

}  // namespace

TEST_CASE("the schema is what the loader reads") {
  const json all = schema(), definitions = all["$defs"];
  check_object<curriculum>(all, {"version", "$schema"});
  CHECK(all["properties"]["version"]["const"] == detail::json_version);
  check_object<stage>(definitions["stage"], {});
  check_object<stage_length>(definitions["stage_length"], {});
  check_object<layer_weight>(definitions["layer_weight"], {});
  CHECK(definitions["piecewise"]["properties"]["points"]["maxItems"] == schedule_points::capacity);
}

TEST_CASE("the schema has every kind of schedule") {
  const json definitions = schema()["$defs"];
  std::set<std::string> kinds = {"warm_up", "clamped"}, listed;
  check_schedules(definitions, kinds);
  check_object<warm_up<schedule>>(definitions["warm_up"], {"kind"});
  std::set<std::string> of_clamped;
  for (const auto& [key, unused] : definitions["clamped"]["properties"].items()) of_clamped.insert(key);
  CHECK(of_clamped == std::set<std::string>{"kind", "of", "low", "high"});
  for (const json& one : definitions["schedule"]["anyOf"])
    if (one.contains("$ref"))
      listed.insert(one["$ref"].get<std::string>().substr(std::string("#/$defs/").size()));
  CHECK(listed == kinds);
  std::set<std::string> suggested;
  for (const char* kind : detail::schedule_kinds()) suggested.insert(kind);
  CHECK(suggested == kinds);
}

TEST_CASE("every kind loads with its required keys alone, and not without one of them") {
  const json definitions = schema()["$defs"];
  for (const char* kind : detail::schedule_kinds()) {
    json object = {{"kind", kind}};
    for (const json& key : definitions[kind]["required"])
      if (key == "points")
        object["points"] = json::array({json::array({0, 1.5})});
      else if (key != "kind")
        object[key.get<std::string>()] = 2;
    INFO(object.dump());
    CHECK_NOTHROW(load_json<schedule>(object.dump()));
    for (const json& key : definitions[kind]["required"]) {
      json without = object;
      without.erase(key.get<std::string>());
      CHECK_THROWS_AS(load_json<schedule>(without.dump()), json_error);
    }
  }
}

TEST_CASE("the page on curricula names every key, and every word that a key may have") {
  std::ifstream file(DISTILL_CURRICULUM_PAGE);
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  const auto check_named = [&page](const std::string& word) {
    INFO(word);
    CHECK(page.find("`" + word + "`") != std::string::npos);
  };
  const json all = schema();
  std::vector<json> objects = {all};
  for (const json& one : all["$defs"]) objects.push_back(one);
  for (const json& one : objects) {
    if (!one.contains("properties")) continue;
    for (const auto& [key, property] : one["properties"].items()) {
      check_named(key);
      for (const json& word : property.value("enum", json::array())) check_named(word.get<std::string>());
    }
  }
  for (const char* kind : detail::schedule_kinds()) check_named(kind);
  const auto check_each = [&](const auto&... p) { (check_named(p.name), ...); };
  std::apply(check_each, cursor_state::parameters());
}
