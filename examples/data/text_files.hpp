#pragma once

#include <filesystem>
#include <string>

namespace data {

/// Where Debian's packages fortunes and fortunes-min put their texts.
inline constexpr const char* debian_text_folder = "/usr/share/games/fortunes";

/// The texts of a folder, one after the other by name: its files without an extension.
/// Throws std::runtime_error naming the folder if there are none, or the file that cannot be read.
std::string read_texts(const std::filesystem::path& folder);

}  // namespace data
