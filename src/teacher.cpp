// Several teachers mixed, statistics of rows, and the weights, temperatures and balances made from them.
#include <distill/teacher/balance-inl.hpp>
#include <distill/teacher/gradient_norm-inl.hpp>
#include <distill/teacher/mixing-inl.hpp>
#include <distill/teacher/row_policy-inl.hpp>
#include <distill/teacher/row_statistics-inl.hpp>
#include <distill/teacher/teacher_weights-inl.hpp>
