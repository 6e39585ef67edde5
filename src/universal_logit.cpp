#include <distill/loss/universal_logit-inl.hpp>
