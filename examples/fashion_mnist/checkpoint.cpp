#include "checkpoint.hpp"

#include <zlib.h>

#include <bit>
#include <cstring>
#include <distill/interop/json.hpp>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "durable_file.hpp"

namespace fashion_mnist {
namespace {

using nlohmann::json;
using bytes = std::vector<std::uint8_t>;

constexpr const char* format_name = "fashion_mnist checkpoint";
constexpr int format_version = 1;
static_assert(std::endian::native == std::endian::little, "checkpoints hold little-endian floats");

std::uint32_t checksum(const bytes& content) {
  return static_cast<std::uint32_t>(crc32_z(0, content.data(), content.size()));
}

json to_json(const vector& floats) {
  bytes raw(static_cast<std::size_t>(floats.size()) * sizeof(float));
  std::memcpy(raw.data(), floats.data(), raw.size());
  return json::binary(std::move(raw));
}

json to_json(const history& records) {
  json epochs = json::array();
  for (const epoch_record& record : records) {
    const scores& validation = record.validation;
    epochs.push_back({record.training_loss, validation.accuracy, validation.negative_log_likelihood,
                      validation.calibration_error});
  }
  return epochs;
}

vector floats_from(const json& value, index count) {
  const bytes& raw = value.get_binary();
  if (raw.size() != static_cast<std::size_t>(count) * sizeof(float))
    throw std::runtime_error("expected " + std::to_string(count) + " parameters, got " +
                             std::to_string(raw.size()) + " bytes");
  vector floats(count);
  std::memcpy(floats.data(), raw.data(), raw.size());
  return floats;
}

history history_from(const json& epochs) {
  history records;
  for (const json& one : epochs) {
    const auto numbers = one.get<std::array<double, 4>>();
    records.push_back({numbers[0], {numbers[1], numbers[2], numbers[3]}});
  }
  return records;
}

/// Throws anything derived from std::exception.
json content_of(const bytes& file) {
  const json outer = json::from_cbor(file);
  if (outer.at("format") != format_name) throw std::runtime_error("is no checkpoint of this program");
  if (outer.at("version") != format_version)
    throw std::runtime_error("is of version " + outer.at("version").dump() + ", expected " +
                             std::to_string(format_version));
  const bytes& content = outer.at("content").get_binary();
  if (outer.at("checksum") != checksum(content)) throw std::runtime_error("the checksum is wrong");
  return json::from_cbor(content);
}

/// "curriculum and seed differ", or nothing.
std::string differences(const training_identity& expected, const training_identity& got) {
  std::vector<std::string> names;
  for (const auto& [name, value] : expected)
    if (const auto found = got.find(name); found == got.end() || found->second != value)
      names.push_back(name);
  for (const auto& [name, value] : got)
    if (!expected.contains(name)) names.push_back(name);
  std::string text;
  for (const std::string& name : names)
    text += (text.empty() ? "" : (name == names.back() ? " and " : ", ")) + name;
  return text.empty() ? text : text + (names.size() == 1 ? " differs" : " differ");
}

}  // namespace

std::string fingerprint(const void* data, std::size_t size) {
  const auto sum = static_cast<std::uint32_t>(crc32_z(0, static_cast<const unsigned char*>(data), size));
  std::string text;
  for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[sum >> shift & 0xF];
  return text;
}

void write_checkpoint(const std::filesystem::path& file, const training_identity& identity,
                      const vector& parameters, const training_state& state) {
  bytes content = json::to_cbor({{"identity", identity},
                                 {"parameters", to_json(parameters)},
                                 {"adam_mean", to_json(state.optimizer.mean)},
                                 {"adam_square", to_json(state.optimizer.square)},
                                 {"adam_steps", state.optimizer.steps},
                                 {"cursor", distill::save_json(state.position)},
                                 {"records", to_json(state.records)},
                                 {"summed_loss", state.summed_loss}});
  const std::uint32_t sum = checksum(content);
  write_durably(file, json::to_cbor({{"format", format_name},
                                     {"version", format_version},
                                     {"checksum", sum},
                                     {"content", json::binary(std::move(content))}}));
}

void read_checkpoint(const std::filesystem::path& file, const training_identity& identity, vector& parameters,
                     training_state& state) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw checkpoint_error(file.string() + ": cannot be opened");
  const bytes all{std::istreambuf_iterator<char>(stream), {}};
  const index count = parameters.size();
  training_state read(0);
  try {
    const json content = content_of(all);
    const std::string difference = differences(identity, content.at("identity").get<training_identity>());
    if (!difference.empty())
      throw foreign_checkpoint(file.string() + ": belongs to another training, whose " + difference);
    vector read_parameters = floats_from(content.at("parameters"), count);
    read.optimizer.mean = floats_from(content.at("adam_mean"), count);
    read.optimizer.square = floats_from(content.at("adam_square"), count);
    read.optimizer.steps = content.at("adam_steps");
    read.position = distill::load_json<distill::cursor_state>(content.at("cursor").get<std::string>());
    read.records = history_from(content.at("records"));
    read.summed_loss = content.at("summed_loss");
    parameters = std::move(read_parameters);
  } catch (const foreign_checkpoint&) {
    throw;
  } catch (const std::exception& error) {
    throw checkpoint_error(file.string() + ": " + error.what());
  }
  state = std::move(read);
}

}  // namespace fashion_mnist
