#pragma once

// libtorch: tensors as views, its threads as an executor, and losses, adapters, gates and the exchange of
// tokens that its autograd can differentiate.
#include <distill/interop/torch_adapter.hpp>
#include <distill/interop/torch_exchange.hpp>
#include <distill/interop/torch_executor.hpp>
#include <distill/interop/torch_gate.hpp>
#include <distill/interop/torch_loss.hpp>
#include <distill/interop/torch_memory.hpp>
#include <distill/interop/torch_router_loss.hpp>
#include <distill/interop/torch_view.hpp>
