#include "bitmap.hpp"

namespace fashion_mnist {
namespace {

void append_little_endian(std::string& bytes, std::uint32_t value, int count) {
  for (int i = 0; i < count; ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
}

/// 8-bit BMP with a grey palette; rows run from the bottom up and 28 bytes need no padding.
std::string bitmap(const pixel_matrix& pixels) {
  constexpr std::uint32_t header_size = 14 + 40 + 4 * 256;
  std::string bytes = "BM";
  for (std::uint32_t value :
       {header_size + static_cast<std::uint32_t>(pixel_count), 0U, header_size, 40U,
        static_cast<std::uint32_t>(image_side), static_cast<std::uint32_t>(image_side)}) {
    append_little_endian(bytes, value, 4);
  }
  append_little_endian(bytes, 1, 2);  // planes
  append_little_endian(bytes, 8, 2);  // bits per pixel
  for (int unused = 0; unused < 6; ++unused) append_little_endian(bytes, 0, 4);
  for (std::uint32_t grey = 0; grey < 256; ++grey) append_little_endian(bytes, grey * 0x010101, 4);
  for (index row = image_side; row-- > 0;) {
    for (index column = 0; column < image_side; ++column) {
      bytes += static_cast<char>(pixels(0, row * image_side + column));
    }
  }
  return bytes;
}

std::string base64(std::string bytes) {
  constexpr const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const std::size_t missing = (3 - bytes.size() % 3) % 3;
  bytes.append(missing, '\0');
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) group = group << 8 | static_cast<unsigned char>(bytes[i + j]);
    for (int shift = 18; shift >= 0; shift -= 6) text += digits[group >> shift & 63];
  }
  return text.replace(text.size() - missing, missing, missing, '=');
}

}  // namespace

std::string bitmap_uri(const pixel_matrix& pixels) {
  return "data:image/bmp;base64," + base64(bitmap(pixels));
}

}  // namespace fashion_mnist
