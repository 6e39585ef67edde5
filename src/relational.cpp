#include <distill/alignment/relational-inl.hpp>
