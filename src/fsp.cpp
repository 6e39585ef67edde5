#include <distill/alignment/fsp-inl.hpp>
