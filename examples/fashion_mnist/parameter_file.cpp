#include "parameter_file.hpp"

#include <zlib.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace fashion_mnist {
namespace {

std::string header(const std::string& recipe) { return "fashion_mnist parameters 1; " + recipe + "\n"; }

std::uint32_t checksum(const std::string& bytes, std::size_t count) {
  return static_cast<std::uint32_t>(crc32_z(0, reinterpret_cast<const unsigned char*>(bytes.data()), count));
}

void require(bool holds, const std::filesystem::path& file, const std::string& otherwise) {
  if (!holds) throw std::runtime_error(file.string() + ": " + otherwise);
}

}  // namespace

void write_parameters(const std::filesystem::path& file, const std::string& recipe,
                      const vector& parameters) {
  const auto parameter_bytes = static_cast<std::size_t>(parameters.size()) * sizeof(float);
  std::string bytes = header(recipe);
  bytes.append(reinterpret_cast<const char*>(parameters.data()), parameter_bytes);
  const std::uint32_t sum = checksum(bytes, bytes.size());
  bytes.append(reinterpret_cast<const char*>(&sum), sizeof sum);
  std::filesystem::create_directories(file.parent_path());
  const std::filesystem::path unfinished = file.string() + ".unfinished";
  require(static_cast<bool>(std::ofstream(unfinished, std::ios::binary) << bytes << std::flush), unfinished,
          "cannot be written");
  std::filesystem::rename(unfinished, file);
}

void read_parameters(const std::filesystem::path& file, const std::string& recipe, vector& parameters) {
  std::ifstream stream(file, std::ios::binary);
  require(stream.is_open(), file, "cannot be opened");
  const std::string bytes{std::istreambuf_iterator<char>(stream), {}};
  const std::string expected_header = header(recipe);
  const auto parameter_bytes = static_cast<std::size_t>(parameters.size()) * sizeof(float);
  const std::size_t end = expected_header.size() + parameter_bytes;
  require(bytes.starts_with(expected_header), file,
          "expected a file that begins with '" + header(recipe) + "'");
  require(bytes.size() == end + sizeof(std::uint32_t), file,
          "expected " + std::to_string(end + sizeof(std::uint32_t)) + " bytes, got " +
              std::to_string(bytes.size()));
  std::uint32_t sum = 0;
  std::memcpy(&sum, bytes.data() + end, sizeof sum);
  require(sum == checksum(bytes, end), file, "the checksum is wrong");
  std::memcpy(parameters.data(), bytes.data() + expected_header.size(), parameter_bytes);
}

}  // namespace fashion_mnist
