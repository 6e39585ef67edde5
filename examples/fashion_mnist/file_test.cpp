// Every defect of a data file or a parameter file is named. Usage: file_test FOLDER (written to).

#include <zlib.h>

#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <stdexcept>

#include "idx_file.hpp"
#include "parameter_file.hpp"

namespace fs = std::filesystem;
using fashion_mnist::read_images;
using fashion_mnist::read_labels;

namespace {

int failures = 0;

void check(bool holds, const std::string& what) {
  if (holds) return;
  ++failures;
  std::cout << "FAILED: " << what << "\n";
}

void check_rejected(const std::function<void()>& reading, const std::string& expected) {
  try {
    reading();
    check(false, "accepted, expected: " + expected);
  } catch (const std::runtime_error& error) {
    check(std::string(error.what()).find(expected) != std::string::npos,
          "said: " + std::string(error.what()) + "\n   expected: " + expected);
  }
}

std::string content_of(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

fs::path write(const fs::path& file, const std::string& bytes) {
  std::ofstream(file, std::ios::binary) << bytes;
  return file;
}

fs::path write_gzipped(const fs::path& file, const std::string& bytes) {
  const gzFile stream = gzopen(file.c_str(), "wb");
  gzwrite(stream, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(stream);
  return file;
}

std::string big_endian(std::initializer_list<unsigned> values) {
  std::string bytes;
  for (unsigned value : values) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift & 0xFF);
  }
  return bytes;
}

/// Bytes that do not shrink when packed, so that cutting the packed file cuts deep into them.
std::string noise(std::size_t count) {
  std::string bytes(count, '\0');
  unsigned state = 1;
  for (char& byte : bytes) byte = static_cast<char>((state = state * 1664525U + 1013904223U) >> 24);
  return bytes;
}

void test_images(const fs::path& folder) {
  const std::string images = big_endian({0x803, 3, 28, 28}) + noise(3 * 784);
  const fs::path intact = write_gzipped(folder / "images.gz", images);
  check(read_images(intact, 3)(2, 783) == static_cast<unsigned char>(images.back()), "the last pixel");

  const auto rejected = [](const fs::path& file, const std::string& got) {
    check_rejected([&] { read_images(file, 3); },
                   file.string() + ": expected 3 images of 28 x 28 = 2368 bytes, got " + got);
  };
  rejected(folder / "absent.gz", "no readable file");
  rejected(write(folder / "plain.gz", images), "a file that is not gzipped");
  rejected(write_gzipped(folder / "short.gz", images.substr(0, 2000)), "2000");
  rejected(write_gzipped(folder / "header.gz", images.substr(0, 7)), "7");
  rejected(write_gzipped(folder / "long.gz", images + "x"), "more");
  rejected(write_gzipped(folder / "extent.gz", big_endian({0x803, 3, 28, 27})), "extent 27 on axis 2");

  std::string packed = content_of(intact);
  rejected(write(folder / "cut.gz", packed.substr(0, packed.size() / 2)), "");
  rejected(write(folder / "cut_trailer.gz", packed.substr(0, packed.size() - 4)),
           "2368 before the gzip file breaks off");
  packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 1);
  rejected(write(folder / "corrupt.gz", packed), "a corrupt gzip file");

  const fs::path labels = write_gzipped(folder / "magic.gz", big_endian({0x801, 3, 28, 28}) + noise(3 * 784));
  check_rejected([&] { read_images(labels, 3); }, "magic.gz: expected magic number 2051, got 2049");
}

void test_labels(const fs::path& folder) {
  const fs::path intact =
      write_gzipped(folder / "labels.gz", big_endian({0x801, 2}) + "\x09" + std::string(1, '\0'));
  check(read_labels(intact, 2) == fashion_mnist::label_vector{9, 0}, "two labels");
  const fs::path wrong = write_gzipped(folder / "wrong.gz", big_endian({0x801, 2}) + "\x09\x0A");
  check_rejected([&] { read_labels(wrong, 2); }, "wrong.gz: label 1: expected 0 to 9, got 10");
}

void test_parameters(const fs::path& folder) {
  const fs::path file = folder / "parameters.bin";
  const fashion_mnist::vector written = fashion_mnist::vector::LinSpaced(5, -1, 1);
  fashion_mnist::vector read(5);
  fashion_mnist::write_parameters(file, "recipe", written);
  fashion_mnist::read_parameters(file, "recipe", read);
  check(read == written, "parameters come back");

  const auto rejected = [&](const std::string& recipe, const std::string& reason) {
    check_rejected([&] { fashion_mnist::read_parameters(file, recipe, read); },
                   file.string() + ": " + reason);
  };
  rejected("another", "expected a file that begins with 'fashion_mnist parameters 1; another");
  std::string bytes = content_of(file);
  write(file, bytes.substr(0, bytes.size() - 1));
  rejected("recipe",
           "expected " + std::to_string(bytes.size()) + " bytes, got " + std::to_string(bytes.size() - 1));
  bytes[bytes.size() - 6] = static_cast<char>(bytes[bytes.size() - 6] ^ 1);
  write(file, bytes);
  rejected("recipe", "the checksum is wrong");
}

}  // namespace

int main(int, char** arguments) {
  const fs::path folder = arguments[1];
  fs::create_directories(folder);
  test_images(folder);
  test_labels(folder);
  test_parameters(folder);
  return failures == 0 ? 0 : 1;
}
