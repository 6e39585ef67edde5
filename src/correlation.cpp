#include <distill/loss/correlation-inl.hpp>
