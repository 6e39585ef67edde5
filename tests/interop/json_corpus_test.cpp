// The fuzzer's corpus, and what is one byte from it.
#include <catch2/catch.hpp>
#include <cstdint>
#include <distill/interop/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

std::vector<std::string> corpus() {
  std::vector<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator(DISTILL_CORPUS_FOLDER)) {
    std::ifstream file(entry.path(), std::ios::binary);
    all.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return all;
}

void try_input(const std::string& text) {
  CHECK(LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()) == 0);
}

}  // namespace

TEST_CASE("every input of the corpus is loaded or refused") {
  const std::vector<std::string> all = corpus();
  CHECK(all.size() >= 11);
  for (const std::string& text : all) try_input(text);
}

TEST_CASE("inputs with one byte changed or left out, and cut off") {
  for (const std::string& text : corpus()) {
    if (text.size() > 4000) continue;
    for (std::size_t i = 0; i < text.size(); i += 1 + text.size() / 200) {
      std::string changed = text;
      changed[i] = static_cast<char>(changed[i] ^ (1 << (i % 8)));
      try_input(changed);
      try_input(text.substr(0, i) + text.substr(i + 1));
      try_input(text.substr(0, i));
    }
  }
}
