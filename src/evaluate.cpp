#include <distill/alignment/attention_transfer-inl.hpp>
#include <distill/alignment/evaluate_attention-inl.hpp>
#include <distill/loss/evaluate-inl.hpp>
