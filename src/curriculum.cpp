// Curricula: their defects, the cursor, mixtures.
#include <distill/curriculum/curriculum-inl.hpp>
#include <distill/curriculum/cursor-inl.hpp>
#include <distill/curriculum/mixture-inl.hpp>
