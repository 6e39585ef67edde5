#pragma once

#include <filesystem>

#include "matrix.hpp"

namespace fashion_mnist {

/// Reads a gzipped IDX file of `count` images of 28 x 28 grey values, one image per row.
///
/// Throws std::runtime_error naming the file, what was expected and what was found, when the file is missing,
/// is no intact gzip file, has another magic number or other extents, or has too few or too many bytes.
pixel_matrix read_images(const std::filesystem::path& file, index count);

/// Reads a gzipped IDX file of `count` labels 0..9; throws like read_images, also for a label above 9.
label_vector read_labels(const std::filesystem::path& file, index count);

}  // namespace fashion_mnist
