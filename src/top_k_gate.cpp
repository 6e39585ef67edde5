#include <distill/moe/top_k_gate-inl.hpp>
