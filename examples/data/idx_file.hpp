#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace data {

/// Where Debian's package dataset-fashion-mnist puts its files.
inline constexpr const char* debian_image_folder = "/usr/share/datasets/fashion-mnist";

inline constexpr std::int64_t image_side = 28;
inline constexpr std::int64_t pixel_count = image_side * image_side;
inline constexpr std::int64_t class_count = 10;

/// Reads a gzipped IDX file of `count` images of 28 x 28 grey values, image after image.
///
/// Throws std::runtime_error naming the file, what was expected and what was found, when the file is missing,
/// is no intact gzip file, has another magic number or other extents, or has too few or too many bytes.
std::vector<std::uint8_t> read_images(const std::filesystem::path& file, std::int64_t count);

/// Reads a gzipped IDX file of `count` labels 0..9; throws like read_images, also for a label above 9.
std::vector<std::uint8_t> read_labels(const std::filesystem::path& file, std::int64_t count);

}  // namespace data
