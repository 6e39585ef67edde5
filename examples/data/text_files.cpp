#include "text_files.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <vector>

namespace data {

std::string read_texts(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(folder)) {
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      if (entry.is_regular_file() && !entry.path().has_extension()) files.push_back(entry.path());
  }
  if (files.empty())
    throw std::runtime_error(folder.string() +
                             ": expected a folder with texts (Debian: apt-get install fortunes)");
  std::sort(files.begin(), files.end());
  std::string text;
  for (const std::filesystem::path& file : files) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw std::runtime_error(file.string() + ": cannot be read");
    text.append(std::istreambuf_iterator<char>(stream), {});
  }
  return text;
}

}  // namespace data
