#include <distill/alignment/hidden_states-inl.hpp>
