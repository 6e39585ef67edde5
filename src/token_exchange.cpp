#include <distill/moe/token_exchange-inl.hpp>
