#pragma once

// libtorch: tensors as views, its threads as an executor, and losses that its autograd can differentiate.
#include <distill/interop/torch_executor.hpp>
#include <distill/interop/torch_loss.hpp>
#include <distill/interop/torch_view.hpp>
