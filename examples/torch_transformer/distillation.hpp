#pragma once

#include <torch/optim/adamw.h>

#include <distill/alignment/adapter.hpp>
#include <distill/alignment/head_map.hpp>
#include <distill/alignment/layer_map.hpp>
#include <distill/curriculum/cursor.hpp>
#include <distill/interop/torch_memory.hpp>
#include <optional>

#include "batch.hpp"
#include "transformer.hpp"

namespace torch_transformer {

/// Trains a student, step by step, with what a curriculum asks for. Without a teacher it learns from the
/// labels.
class distillation {
 public:
  /// `teacher` may be null; it is never changed.
  distillation(transformer& student, transformer* teacher, std::uint64_t seed);

  /// One step of training; returns its loss.
  double step(const batch& now, const distill::cursor& at, double learning_rate);

 private:
  at::Tensor logit_loss(const outputs& made, const outputs& taught, const at::Tensor& targets,
                        const distill::cursor& at);
  at::Tensor attention_loss(const outputs& made, const outputs& taught, const distill::cursor& at) const;
  at::Tensor hidden_loss(const outputs& made, const outputs& taught, const distill::cursor& at) const;

  transformer& student_;
  transformer* teacher_;
  std::optional<distill::layer_map> layers_;      // which teacher layer a student layer learns from
  distill::head_map heads_;                       // and which heads
  distill::adapter adapter_;                      // from the student's width to the teacher's
  std::vector<at::Tensor> adapter_parameters_;    // of each student layer
  std::optional<torch::optim::AdamW> optimizer_;  // of the student and its adapters
  distill::torch_memory logit_memory_;
};

}  // namespace torch_transformer
