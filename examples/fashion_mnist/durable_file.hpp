#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace fashion_mnist {

/// Writes beside the file, makes sure that the bytes are on the disk, then renames: whenever the program or
/// the machine stops, the file is the old one or the new one, never a part. Folders are made as needed. One
/// file must not be written by two threads at once. Throws std::system_error naming the file.
void write_durably(const std::filesystem::path& file, const std::vector<std::uint8_t>& bytes);

}  // namespace fashion_mnist
