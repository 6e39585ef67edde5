// Balance without a loss: biases of the choice of experts.
#include <distill/moe/expert_bias_update-inl.hpp>
#include <distill/moe/quantile_balancing-inl.hpp>
