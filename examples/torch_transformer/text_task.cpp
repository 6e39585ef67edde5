#include <ATen/ATen.h>

#include <distill/curriculum/mixture.hpp>

#include "data/text_files.hpp"
#include "task.hpp"

namespace torch_transformer {
namespace {

constexpr std::size_t piece_size = 4096, pieces = 40;

struct text_parts {
  std::string training, validation, test;
};

text_parts split(const std::string& text) {
  text_parts parts;
  for (std::size_t begin = 0; begin < text.size(); begin += piece_size) {
    const std::size_t number = begin / piece_size % pieces;
    std::string& part =
        number == pieces - 2 ? parts.validation : (number == pieces - 1 ? parts.test : parts.training);
    part += text.substr(begin, piece_size);
  }
  return parts;
}

/// Bytes as symbols, and the byte after each as its target.
batch windows(const std::string& text, const std::vector<std::int64_t>& begins, std::int64_t positions) {
  const auto samples = static_cast<std::int64_t>(begins.size());
  batch made{at::empty({samples, positions}, at::kLong), at::empty({samples * positions}, at::kLong)};
  auto *input = made.inputs.data_ptr<std::int64_t>(), *target = made.targets.data_ptr<std::int64_t>();
  for (const std::int64_t begin : begins)
    for (std::int64_t i = begin; i < begin + positions; ++i) {
      *input++ = static_cast<unsigned char>(text[static_cast<std::size_t>(i)]);
      *target++ = static_cast<unsigned char>(text[static_cast<std::size_t>(i) + 1]);
    }
  return made;
}

std::vector<batch> consecutive(const std::string& text, const task_plan& plan, std::int64_t most) {
  std::vector<batch> all;
  std::vector<std::int64_t> begins;
  for (std::int64_t begin = 0; begin + plan.teacher.positions < std::ssize(text) && std::ssize(all) < most;
       begin += plan.teacher.positions) {
    begins.push_back(begin);
    if (std::ssize(begins) < plan.batch_size) continue;
    all.push_back(windows(text, begins, plan.teacher.positions));
    begins.clear();
  }
  return all;
}

}  // namespace

task text_task(const std::filesystem::path& folder, const task_plan& plan) {
  const text_parts parts = split(data::read_texts(folder));
  const std::int64_t positions = plan.teacher.positions, size = plan.batch_size;
  const std::int64_t count = (std::ssize(parts.training) - positions - 1) / positions / size * size;
  const auto draw = [=, text = parts.training](std::int64_t step, std::uint64_t seed) {
    const distill::mixture order({1}, count, seed);  // every window once in `count` draws
    std::vector<std::int64_t> begins;
    for (std::int64_t row = 0; row < size; ++row) {
      const std::int64_t number = step * size + row;
      // Windows of later rounds begin elsewhere.
      begins.push_back(order(number).item % count * positions + number / count * 37 % positions);
    }
    return windows(text, begins, positions);
  };
  return {draw, consecutive(parts.validation, plan, plan.evaluation_batches),
          consecutive(parts.test, plan, plan.test_batches)};
}

}  // namespace torch_transformer
