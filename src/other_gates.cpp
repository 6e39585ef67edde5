// The gates that are not top-k, and a teacher's router as a student's target.
#include <distill/moe/expert_choice_gate-inl.hpp>
#include <distill/moe/hash_gate-inl.hpp>
#include <distill/moe/map_expert_logits-inl.hpp>
