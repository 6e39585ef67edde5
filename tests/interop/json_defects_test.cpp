// Every sentence of the loader, with its place; all of them at once; nothing half-loaded.
#include <catch2/catch.hpp>
#include <distill/interop/json.hpp>
#include <string>

using namespace distill;

namespace {

template <class T = curriculum>
std::string message_of(const std::string& text, const json_limits& limits = {}) {
  try {
    load_json<T>(text, limits);
  } catch (const json_error& error) {
    return error.what();
  }
  return "nothing";
}

/// The only defect of a plan whose single stage has this besides its name and length.
std::string in_stage(const std::string& more) {
  const std::string message =
      message_of(R"({"version": 1, "stages": [{"name": "a", "length": {"amount": 9}, )" + more + "}]}");
  const std::string one = "1 defect\nstages[0].";
  return message.rfind(one, 0) == 0 ? message.substr(one.size()) : message;
}
std::string in_temperature(const std::string& schedule) {
  const std::string message = in_stage("\"temperature\": " + schedule), place = "temperature";
  return message.rfind(place, 0) == 0 ? message.substr(place.size()) : message;
}

}  // namespace

TEST_CASE("text that is not JSON") {
  CHECK(
      message_of("") ==
      "1 defect\nline 1, column 1: is not JSON: syntax error while parsing value - unexpected end of input; "
      "expected '[', '{', or a literal");
  CHECK(message_of("{\n  \"version\": 1,\n  }").rfind("1 defect\nline 3, column 3: is not JSON: ", 0) == 0);
  CHECK(message_of("{\"a\": \xff}").rfind("1 defect\nline 1, column 7: is not JSON: ", 0) == 0);
  CHECK(message_of("{\"a\": 1e999}") ==
        "1 defect\ndocument: cannot be read: number overflow parsing '1e999'");
  CHECK(message_of("{} {}").rfind("1 defect\nline 1, column 4: is not JSON: ", 0) == 0);
}

TEST_CASE("the document") {
  CHECK(message_of("[]") == "1 defect\ndocument: must be an object, got an array");
  CHECK(message_of("null") == "1 defect\ndocument: must be an object, got null");
  CHECK(message_of("{}") == "2 defects\nstages: is missing\nversion: is missing, must be 1");
  const std::string stage = R"("stages": [{"name": "a", "length": {"amount": 9}}])";
  CHECK(message_of("{\"version\": 1, " + stage + "}") == "nothing");
  CHECK(message_of("{\"version\": 1, \"$schema\": \"curriculum.schema.json\", " + stage + "}") == "nothing");
  CHECK(message_of("{\"version\": 2, " + stage + "}") == "1 defect\nversion: must be 1");
  CHECK(message_of("{\"version\": \"1\", " + stage + "}") == "1 defect\nversion: must be 1");
  CHECK(message_of("{\"version\": 1, \"version\": 1, " + stage + "}") == "1 defect\nversion: is given twice");
  CHECK(message_of(R"({"version": 1, "stages": 3})") == "1 defect\nstages: must be an array, got a number");
  CHECK(message_of(R"({"version": 1, "stages": [3]})") ==
        "1 defect\nstages[0]: must be an object, got a number");
  CHECK(message_of(R"({"version": 1, "stages": []})") == "1 defect\nstages: must not be empty");
}

TEST_CASE("keys: missing, unknown, given twice") {
  CHECK(message_of(R"({"version": 1, "stages": [{}]})") ==
        "2 defects\nstages[0].name: is missing\nstages[0].length: is missing");
  CHECK(in_stage("\"temprature\": 3") == "temprature: is unknown; did you mean temperature?");
  CHECK(in_stage("\"learningRate\": 3") == "learningRate: is unknown; did you mean learning_rate?");
  CHECK(in_stage("\"bledn\": 3") == "bledn: is unknown; did you mean blend?");
  CHECK(
      in_stage("\"xyz123456\": 3") ==
      "xyz123456: is unknown; known are name, length, data_source, mixture, loss_weight, objectives, layers, "
      "temperature, learning_rate, clock, blend");
  CHECK(in_stage("\"blend\": 0, \"blend\": 0") == "blend: is given twice");
  CHECK(in_stage("\"objectives\": {\"ce\": 1, \"ce\": 2}") == "objectives.ce: is given twice");
  CHECK(in_stage("\"layers\": [{\"student\": 1}]") == "layers[0].teacher: is missing");
}

TEST_CASE("types and ranges") {
  CHECK(in_stage("\"loss_weight\": -0.2") == "loss_weight: must be >= 0, got -0.2");
  CHECK(in_stage("\"loss_weight\": \"0.2\"") == "loss_weight: must be a number, got a string");
  CHECK(in_stage("\"loss_weight\": null") == "loss_weight: must be a number, got null");
  CHECK(in_stage("\"data_source\": 3") == "data_source: must be a string, got a number");
  CHECK(in_stage("\"blend\": 0.5") == "blend: must be an integer, got 0.5");
  CHECK(in_stage("\"blend\": true") == "blend: must be an integer, got a boolean");
  CHECK(in_stage("\"blend\": 18446744073709551615") == "blend: must be an integer below 2^63");
  CHECK(in_stage("\"blend\": 1e300").rfind("blend: must be an integer, got 1", 0) == 0);
  CHECK(in_stage("\"blend\": 0.0") == "nothing");
  CHECK(in_stage("\"clock\": \"step\"") == "clock: is none of those allowed; did you mean steps?");
  CHECK(in_stage("\"clock\": \"metric\"") ==
        "clock: is none of those allowed; known are steps, tokens, epochs");
  CHECK(in_stage("\"clock\": 1") == "clock: must be a string, got a number");
  CHECK(in_stage("\"objectives\": [1]") ==
        "objectives: must be an object of names and weights, got an array");
  CHECK(in_stage("\"objectives\": {\"a.b\": \"x\"}") ==
        "objectives[\"a.b\"]: must be a number or a schedule, got a string");
  CHECK(in_stage("\"objectives\": {\"ce\": -1}") == "objectives.ce: must be >= 0, got -1");
  CHECK(in_stage("\"mixture\": {\"x\": 1}, \"data_source\": \"y\"") ==
        "data_source: must be left out where there is a mixture");
  CHECK(message_of(R"({"version": 1, "stages": [{"name": "a", "length": {"amount": 1, "metric": ")" +
                   std::string(64, 'm') + "\"}}]}") ==
        "1 defect\nstages[0].length.metric: must be at most 63 bytes");
  CHECK(in_stage("\"layers\": {}") == "layers: must be an array, got an object");
}

TEST_CASE("schedules") {
  const std::string kinds =
      "; known are constant, linear, cosine, cosine_restarts, exponential, polynomial, piecewise, "
      "temperature_ramp, "
      "warm_up, clamped";
  CHECK(in_temperature("{}") == ".kind: is missing" + kinds);
  CHECK(in_temperature("{\"kind\": 3}") == ".kind: must be a string, got a number");
  CHECK(in_temperature("{\"kind\": \"cosin\"}") == ".kind: is no schedule; did you mean cosine?");
  CHECK(in_temperature("[]") == ": must be a number or a schedule, got an array");
  CHECK(in_temperature("0") == ": must be > 0, got 0");
  CHECK(in_temperature(R"({"kind": "linear", "from": 1, "to": 2, "steps": 0})") ==
        ".steps: must be >= 1, got 0");
  CHECK(in_temperature(R"({"kind": "linear", "from": 1, "to": 2})") == ".steps: is missing");
  CHECK(in_temperature(R"({"kind": "linear", "from": 1, "to": 2, "step": 3, "steps": 3})") ==
        ".step: is unknown; did you mean steps?");
  CHECK(in_temperature(R"({"kind": "linear", "from": 1, "to": 0, "steps": 3})") ==
        ": must stay > 0, goes down to 0");
  CHECK(in_temperature(R"({"kind": "piecewise", "points": []})") == ".points: must be 1 to 16 points, got 0");
  CHECK(in_temperature(R"({"kind": "piecewise", "points": [[0, 1], [0, 2]]})") ==
        ".points: must be at steps >= 0 that increase, got 0");
  CHECK(in_temperature(R"({"kind": "piecewise", "points": [[0, 1, 2]]})") ==
        ".points[0]: must be [step, value]");
  CHECK(in_temperature(R"({"kind": "piecewise", "points": [[0, "x"]]})") ==
        ".points[0][1]: must be a number, got a string");
  CHECK(in_temperature(R"({"kind": "temperature_ramp", "increment": -1})") ==
        ".increment: must be of the sign of stop - start, got -1");
  CHECK(in_temperature(R"({"kind": "warm_up", "then": {"kind": "linear"}, "steps": 1})")
            .find("temperature.then.from: is missing") != std::string::npos);
  CHECK(in_temperature(R"({"kind": "warm_up", "then": 3, "steps": 0, "from": 1})") ==
        ".steps: must be >= 1, got 0");
  CHECK(in_temperature(R"({"kind": "clamped", "of": 3, "low": 2, "high": 1})") ==
        ".high: must be >= low, got 1");
  CHECK(in_temperature(R"({"kind": "clamped"})") == ".of: is missing");
  CHECK(in_temperature(R"({"kind": "clamped", "of": 3, "hgih": 1})") ==
        ".hgih: is unknown; did you mean high?");
  std::string nested = "3";
  for (int i = 0; i < 5; ++i) nested = R"({"kind": "clamped", "of": )" + nested + "}";
  CHECK(in_temperature(nested) == ": schedule: holds at most 4 warm_up and clamped around each other");
}

TEST_CASE("all defects come in one pass, those that follow from others do not") {
  CHECK(message_of(R"({"version": 1, "version": 1, "stagse": 3, "stages": [
          {"name": "a", "lenght": {}, "loss_weight": -0.2},
          {"name": 5, "length": {"amount": 1.5}, "learning_rate": {"kind": "linear", "from": 1, "to": 0, "steps": 0}},
          {"name": "a", "length": {"unit": "metric"}, "objectives": {"ce": -1}}]})") ==
        "11 defects\n"
        "version: is given twice\n"
        "stages[0].length: is missing\n"
        "stages[0].lenght: is unknown; did you mean length?\n"
        "stages[1].name: must be a string, got a number\n"
        "stages[1].length.amount: must be an integer, got 1.5\n"
        "stages[1].learning_rate.steps: must be >= 1, got 0\n"
        "stagse: is unknown; did you mean stages?\n"
        "stages[0].loss_weight: must be >= 0, got -0.2\n"
        "stages[2].name: must be unlike stages[0].name\n"
        "stages[2].length.metric: must be the name of a metric\n"
        "stages[2].objectives.ce: must be >= 0, got -1");
}

TEST_CASE("states") {
  CHECK(message_of<cursor_state>(R"({"version": 1, "stage": -1, "step": 3})") ==
        "2 defects\nstep: is unknown; did you mean steps?\nstage: must be >= 0, got -1");
  CHECK(message_of<taid_state>(R"({"version": 1, "interpolation": 2, "has_previous_loss": 1})") ==
        "2 defects\nhas_previous_loss: must be true or false, got a number\ninterpolation: must be in [0, "
        "1], got 2");
  CHECK(message_of<ctkd_state>(R"({"version": 1, "epoch": -1})") == "1 defect\nepoch: must be >= 0, got -1");
  CHECK(message_of<gradient_balance_state>(
            R"({"version": 1, "terms": 9, "norms": [1, -2, 0, 0, 0, 0, 0, 0], "progress": [1]})") ==
        "3 defects\nprogress: must have 8 entries, has 1\nterms: must be <= 8, got 9\nnorms[1]: must be >= 0 "
        "and finite, got -2");
  CHECK(message_of<gradient_balance_state>(
            R"({"version": 1, "terms": -1, "norms": 3, "first_losses": ["a"]})") ==
        "3 defects\nterms: must be >= 0, got -1\nnorms: must be an array, got a number\nfirst_losses: must "
        "have 8 entries, has 1");
  CHECK(message_of<schedule>("\"x\"") == "1 defect\ndocument: must be a number or a schedule, got a string");
}

TEST_CASE("hostile input is refused before it costs anything") {
  CHECK(message_of(std::string(2000000, ' ')) ==
        "1 defect\ndocument: must be at most 1048576 bytes, has 2000000");
  CHECK(message_of(std::string(1000000, '[')).find("must not be nested more than 16 deep") !=
        std::string::npos);
  CHECK(message_of("[[[]]]", {.depth = 2}) == "1 defect\n[0][0]: must not be nested more than 2 deep");
  std::string many = "{\"version\": 1, \"stages\": [0";
  for (int i = 0; i < 1000; ++i) many += ",0";
  CHECK(message_of(many + "]}") == "1 defect\nstages[1000]: is one of more than 1000");
  std::string keys = "{\"a0\": 0";
  for (int i = 1; i <= 1000; ++i) keys += ", \"a" + std::to_string(i) + "\": 0";
  CHECK(message_of(keys + "}") == "1 defect\na1000: is one of more than 1000");
  const std::string long_key(100000, 'k');
  CHECK(in_stage("\"" + long_key + "\": 0").size() < 400);
  std::string defects = "{\"version\": 1, \"stages\": [0";
  for (int i = 0; i < 500; ++i) defects += ",0";
  const std::string message = message_of(defects + "]}");
  CHECK(message.find("stages[99]: ") != std::string::npos);
  CHECK(message.find("stages[100]: ") == std::string::npos);
  CHECK(message.find("document: has 401 defects more") != std::string::npos);
}
