#include <distill/alignment/adapter-inl.hpp>
