#include <distill/moe/hash_gate-inl.hpp>
