#include <distill/moe/capacity-inl.hpp>
