#include <cstdlib>
#include <distill/dispatch-inl.hpp>
