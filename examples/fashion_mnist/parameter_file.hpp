#pragma once

#include <filesystem>
#include <string>

#include "matrix.hpp"

namespace fashion_mnist {

// Format: "fashion_mnist parameters 1; <recipe>\n", the parameters as native floats, CRC-32 of all before.

/// Writes the parameters of a model trained by `recipe`; the file appears complete or not at all.
void write_parameters(const std::filesystem::path& file, const std::string& recipe, const vector& parameters);

/// Reads as many parameters as `parameters` has. Throws std::runtime_error naming the file and what was
/// expected if it cannot be read, has another size, is of another version or recipe, or its checksum is
/// wrong.
void read_parameters(const std::filesystem::path& file, const std::string& recipe, vector& parameters);

}  // namespace fashion_mnist
