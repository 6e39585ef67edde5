#include <distill/moe/routing_maps-inl.hpp>
