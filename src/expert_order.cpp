#include <distill/moe/expert_order-inl.hpp>
