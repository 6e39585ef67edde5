// Balance without a loss: biases of the choice of experts, and what a person reads of their use.
#include <distill/moe/expert_bias_update-inl.hpp>
#include <distill/moe/expert_usage-inl.hpp>
#include <distill/moe/quantile_balancing-inl.hpp>
