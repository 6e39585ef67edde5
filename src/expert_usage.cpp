#include <distill/moe/expert_usage-inl.hpp>
