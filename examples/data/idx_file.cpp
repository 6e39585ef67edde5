#include "idx_file.hpp"

#include <zlib.h>

#include <algorithm>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace data {
namespace {

using byte_vector = std::vector<std::uint8_t>;

/// What a file has to contain: big-endian magic number and extents, then one byte per element.
struct idx_layout {
  std::string content;
  std::uint32_t magic;
  std::vector<std::int64_t> extents;

  std::int64_t header_size() const { return 4 * (1 + static_cast<std::int64_t>(extents.size())); }
  std::int64_t size() const {
    std::int64_t elements = 1;
    for (std::int64_t extent : extents) elements *= extent;
    return header_size() + elements;
  }
};

[[noreturn]] void reject(const std::filesystem::path& file, const std::string& reason) {
  throw std::runtime_error(file.string() + ": " + reason);
}

std::string expected(const idx_layout& layout) {
  return "expected " + layout.content + " = " + std::to_string(layout.size()) + " bytes, got ";
}

/// The unpacked file, at most one byte more than the layout asks for (enough to see that it is too long).
byte_vector unpack(const std::filesystem::path& file, const idx_layout& layout) {
  std::unique_ptr<std::remove_pointer_t<gzFile>, decltype(&gzclose)> stream(gzopen(file.c_str(), "rb"),
                                                                            &gzclose);
  if (!stream) reject(file, expected(layout) + "no readable file");
  byte_vector bytes(static_cast<std::size_t>(layout.size()) + 1);
  const int received = gzread(stream.get(), bytes.data(), static_cast<unsigned>(bytes.size()));
  int status = Z_OK;
  const std::string problem = gzerror(stream.get(), &status);
  if (gzdirect(stream.get()) == 1) reject(file, expected(layout) + "a file that is not gzipped");
  if (received < 0) reject(file, expected(layout) + "a corrupt gzip file (" + problem + ")");
  bytes.resize(static_cast<std::size_t>(received));
  if (status == Z_BUF_ERROR) {
    reject(file, expected(layout) + std::to_string(received) + " before the gzip file breaks off");
  }
  return bytes;
}

std::uint32_t big_endian(std::span<const std::uint8_t> bytes, std::int64_t position) {
  std::uint32_t value = 0;
  for (std::uint8_t byte : bytes.subspan(static_cast<std::size_t>(position), 4)) value = value << 8 | byte;
  return value;
}

/// The elements after a header that says what the layout says.
byte_vector read_idx(const std::filesystem::path& file, const idx_layout& layout) {
  byte_vector bytes = unpack(file, layout);
  const auto size = static_cast<std::int64_t>(bytes.size());
  if (size < layout.header_size()) reject(file, expected(layout) + std::to_string(size));
  if (const std::uint32_t magic = big_endian(bytes, 0); magic != layout.magic) {
    reject(file, "expected magic number " + std::to_string(layout.magic) + ", got " + std::to_string(magic));
  }
  for (std::size_t axis = 0; axis < layout.extents.size(); ++axis) {
    const std::uint32_t extent = big_endian(bytes, 4 * (1 + static_cast<std::int64_t>(axis)));
    if (extent == layout.extents[axis]) continue;
    reject(file, expected(layout) + "extent " + std::to_string(extent) + " on axis " + std::to_string(axis));
  }
  if (size > layout.size()) reject(file, expected(layout) + "more");
  if (size < layout.size()) reject(file, expected(layout) + std::to_string(size));
  bytes.erase(bytes.begin(), bytes.begin() + layout.header_size());
  return bytes;
}

}  // namespace

byte_vector read_images(const std::filesystem::path& file, std::int64_t count) {
  return read_idx(file,
                  {std::to_string(count) + " images of 28 x 28", 0x803, {count, image_side, image_side}});
}

byte_vector read_labels(const std::filesystem::path& file, std::int64_t count) {
  byte_vector labels = read_idx(file, {std::to_string(count) + " labels", 0x801, {count}});
  const auto wrong =
      std::find_if(labels.begin(), labels.end(), [](auto label) { return label >= class_count; });
  if (wrong != labels.end()) {
    reject(file, "label " + std::to_string(wrong - labels.begin()) + ": expected 0 to 9, got " +
                     std::to_string(*wrong));
  }
  return labels;
}

}  // namespace data
