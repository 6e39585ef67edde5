// Any bytes: a curriculum, or an error that names places. What loads is saved, loaded again, and walked
// through.
#include <cstdint>
#include <cstdlib>
#include <distill/interop/json.hpp>

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

template <class T>
void load_and_save(std::string_view text) {
  try {
    const T value = distill::load_json<T>(text);
    require(distill::load_json<T>(distill::save_json(value)) == value);
  } catch (const distill::json_error& error) {
    require(!error.defects().empty());
    for (const auto& [place, what] : error.defects()) require(!place.empty() && !what.empty());
  }
}

void walk(std::string_view text) {
  try {
    distill::cursor at(distill::load_json<distill::curriculum>(text));
    for (int i = 0; i < 50 && !at.finished(); ++i) {
      require(at.temperature() > 0 && at.learning_rate() >= 0 && at.loss_weight() >= 0);
      for (const auto& one : at.sources()) require(one.weight >= 0);
      for (const auto& one : at.objectives()) require(one.weight >= 0);
      at.advance(1, 7);
      at.finish_epoch();
      if (i % 10 == 9) at.skip_stage();
    }
  } catch (const distill::json_error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  load_and_save<distill::curriculum>(text);
  load_and_save<distill::schedule>(text);
  load_and_save<distill::cursor_state>(text);
  walk(text);
  return 0;
}
