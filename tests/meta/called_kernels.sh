#!/usr/bin/env bash
# called_kernels.sh ROOT COMPILER NM: header-only, a translation unit has the kernels of what it calls and no others.
set -euo pipefail
cd "$1"
compiler=$2 nm=$3

object=$(mktemp --suffix .o)
trap 'rm -f "$object"' EXIT
"$compiler" -std=c++20 -DDISTILL_HEADER_ONLY -DHWY_WANT_AVX3_DL -Iinclude -x c++ -c -o "$object" - <<'CPP'
#include <distill/distill.hpp>

using matrix = distill::matrix_view<const float>;
double call(matrix student, matrix teacher) { return distill::forward_kl{.temperature = 4}(student, teacher); }
CPP
kernels=$("$nm" --demangle "$object" | grep ' [TtWw] .*::simd::N_')
grep -q 'ForwardKlRows<' <<< "$kernels" || { echo "no kernel of forward_kl found"; exit 1; }

others='AlphaBeta|Jensen|Skewed|TotalVariation|ReverseKl|SoftCross|CrossEntropyRow|LogitMseRow|UserRow|Ranking'
others+='|DecoupledKl|StandardizedKl|AdaptiveKl|TaidKl|CorrectedKl|Softmax(Row|Lanes)|Gate|SelectTopK|Mixing|Statistics|Universal'
if grep -E "$others" <<< "$kernels"; then
  echo "these kernels were compiled, though only forward_kl is called"
  exit 1
fi
