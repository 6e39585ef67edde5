#pragma once

/// Everything that needs no third party. The headers it names can be included one by one.

#include <distill/alignment/matrix_product.hpp>
#include <distill/dispatch.hpp>
#include <distill/error/error.hpp>
#include <distill/execution/executor.hpp>
#include <distill/execution/thread_pool.hpp>
#include <distill/execution/workspace.hpp>
#include <distill/loss/alpha_beta.hpp>
#include <distill/loss/cross_entropy.hpp>
#include <distill/loss/divergence.hpp>
#include <distill/loss/forward_kl.hpp>
#include <distill/loss/jensen_shannon.hpp>
#include <distill/loss/logit_mse.hpp>
#include <distill/loss/objective.hpp>
#include <distill/loss/reverse_kl.hpp>
#include <distill/loss/row_options.hpp>
#include <distill/loss/skewed_forward_kl.hpp>
#include <distill/loss/skewed_reverse_kl.hpp>
#include <distill/loss/soft_cross_entropy.hpp>
#include <distill/loss/total_variation.hpp>
#include <distill/moe/router_statistics.hpp>
#include <distill/moe/routing.hpp>
#include <distill/numeric/bfloat16.hpp>
#include <distill/numeric/float16.hpp>
#include <distill/numeric/log_softmax.hpp>
#include <distill/numeric/log_sum_exp.hpp>
#include <distill/numeric/softmax.hpp>
#include <distill/numeric/softmax_options.hpp>
#include <distill/version.hpp>
#include <distill/view/as_view.hpp>
#include <distill/view/flatten_leading.hpp>
#include <distill/view/matrix_view.hpp>
#include <distill/view/vector_view.hpp>
