#include <distill/moe/expert_choice_gate-inl.hpp>
