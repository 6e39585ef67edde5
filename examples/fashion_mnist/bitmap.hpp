#pragma once

#include <string>

#include "matrix.hpp"

namespace fashion_mnist {

/// A 28 x 28 grey image (one row) as a data URI that an <img> shows: a BMP file in base 64.
std::string bitmap_uri(const pixel_matrix& pixels);

}  // namespace fashion_mnist
