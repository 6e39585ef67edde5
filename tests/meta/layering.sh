#!/usr/bin/env bash
# layering.sh ROOT: who may include whom, read from the #include lines.
set -euo pipefail
cd "$1/include/distill"

# The folders, or files beside them, that a header of each folder may include besides its own.
declare -A may_include=(
  [version]=""
  [dispatch]="version error"
  [error]="version"
  [numeric]="version error view execution"
  [view]="version error numeric"
  [execution]="version error"
  [loss]="version error view numeric execution"
  [alignment]="version error view numeric execution loss"
  [moe]="version error view numeric execution loss"
  [schedule]="version error"
  [curriculum]="version error view schedule"
  [teacher]="version error view numeric execution loss schedule"
  [simd]="version error view numeric"
)
# What kernels are told to do, in plain structs beside the functions they serve.
job_descriptions="alignment/adapter_job.hpp alignment/batch_job.hpp alignment/hidden_states_job.hpp"
job_descriptions+=" loss/correlation_job.hpp loss/loss_term.hpp loss/row_job.hpp loss/universal_logit_job.hpp"
job_descriptions+=" moe/gate_job.hpp moe/token_exchange_job.hpp numeric/softmax_job.hpp teacher/mixing_job.hpp"
job_descriptions+=" teacher/row_statistics_job.hpp"
# Headers that exist to name one third party.
adapters="^(interop/.*|execution/(openmp|tbb)\.hpp)$"

failures=0
complain() {
  echo "$*"
  failures=$((failures + 1))
}

is_allowed() {
  local header=$1 included=$2 from=${1%%/*} to=${2%%/*}
  from=${from%-inl.hpp} from=${from%.hpp} to=${to%-inl.hpp} to=${to%.hpp}
  [[ $header == distill.hpp ]] && [[ ! $included =~ ^interop/ ]] && return 0
  [[ $from == interop && $to != distill ]] && return 0
  [[ $from == "$to" ]] && return 0
  [[ $from == simd && " $job_descriptions " == *" $included "* ]] && return 0
  [[ $to == simd && $header == *-inl.hpp ]] && return 0  # header-only mode
  [[ " ${may_include[$from]-} " == *" $to "* ]]
}

is_third_party() {
  local header=$1 included=$2
  [[ $included =~ (/|\.h$|\.hpp$) ]] || return 1
  [[ $header == simd/* || $header == *-inl.hpp || $header =~ $adapters ]] && return 1
  return 0
}

while IFS=: read -r header line; do
  header=${header#./}
  included=$(sed -E 's/^ *# *include *[<"]([^>"]*)[>"].*/\1/' <<< "$line")
  if [[ $line == *\"* ]]; then
    complain "$header: $line: headers are included with <>"
  elif [[ $included == distill/* ]]; then
    included=${included#distill/}
    is_allowed "$header" "$included" || complain "$header may not include $included"
    if [[ $included == *-inl.hpp && $header != *-inl.hpp && $included != "${header%.hpp}-inl.hpp" ]] &&
       ! grep -q '^#if defined(DISTILL_HEADER_ONLY)' "$header"; then
      complain "$header includes $included outside header-only mode"
    fi
  elif is_third_party "$header" "$included"; then
    complain "$header may not name the third party $included"
  fi
done < <(grep -rE '^ *# *include' --include='*.hpp' .)

# The umbrella reaches every header that needs no third party.
reached=$(echo '#include <distill/distill.hpp>' | "${CXX:-c++}" -std=c++20 -I.. -x c++ -M - | tr ' ' '\n')
while read -r header; do
  [[ $header =~ $adapters || $header == *-inl.hpp || $header == *_job.hpp ]] && continue
  grep -q "distill/$header\$" <<< "$reached" || complain "distill.hpp does not reach $header"
done < <(find . -name '*.hpp' -printf '%P\n' | sort)

exit $((failures > 0))
