// Balance losses of a router, the statistics they are computed from, and their gradients.
#include <distill/moe/balance_backward-inl.hpp>
#include <distill/moe/balance_losses-inl.hpp>
#include <distill/moe/count_statistics-inl.hpp>
#include <distill/moe/importance_loss-inl.hpp>
#include <distill/moe/load_loss-inl.hpp>
#include <distill/moe/router_z_loss-inl.hpp>
