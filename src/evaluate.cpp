#include <distill/loss/evaluate-inl.hpp>
