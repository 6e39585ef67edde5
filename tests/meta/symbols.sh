#!/usr/bin/env bash
# symbols.sh NM LIBRARY: the library never prints or ends the program, and its kernels never allocate.
set -euo pipefail
nm=$1 library=$2

failures=0
# refuse WHAT PATTERN SYMBOLS
refuse() {
  local found
  found=$(grep -E "^ *U ($2)(@|$)" <<< "$3" || true)
  [[ -z $found ]] && return
  echo "$1:"
  echo "$found"
  failures=$((failures + 1))
}

prints='_ZSt4cout|_ZSt4cerr|_ZSt4clog|_ZSt5wcout|stdout|stderr|puts|putchar|fputs|fputc|fwrite|write|perror'
prints+='|v?f?printf|v?dprintf|__v?f?printf_chk|syslog'
ends='abort|exit|_exit|_Exit|quick_exit|raise|kill|__assert_fail|_ZN3hwy5Abort.*'
allocates='_Zn[wa].*|malloc|calloc|realloc|aligned_alloc|posix_memalign|memalign'
spawns='pthread_create|fork|_ZNSt6thread15_M_start_thread.*'

symbols=$("$nm" --undefined-only "$library" 2> /dev/null)
[[ $library == *.so* ]] && symbols=$("$nm" --dynamic --undefined-only "$library")
refuse "the library prints" "$prints" "$symbols"
refuse "the library ends the program" "$ends" "$symbols"
refuse "the library starts threads or processes" "$spawns" "$symbols"
if [[ $library == *.a ]]; then
  # From the heading of each object file named after rows to the next heading.
  kernels=$("$nm" "$library" | awk '/\.o:$/ { inside = /_rows(_float|_double)?\.cpp\.o:$/ } inside')
  refuse "a kernel allocates" "$allocates" "$(sed -E 's/^ +U/U/' <<< "$kernels")"
  grep -q 'evaluate_rows' <<< "$kernels" || { echo "no kernels found in $library"; failures=$((failures + 1)); }
fi
exit $((failures > 0))
