#include <distill/moe/map_expert_logits-inl.hpp>
