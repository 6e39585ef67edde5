#!/usr/bin/env bash
# lengths.sh ROOT: no file longer than one can read.
set -euo pipefail
cd "$1"

failures=0
while read -r lines path; do
  case $path in
    include/distill/simd/*) limit=500 ;;
    include/*) limit=250 ;;
    *.hpp | *.cpp | *.sh) limit=400 ;;
    *) continue ;;
  esac
  ((lines <= limit)) && continue
  echo "$path has $lines lines, at most $limit are wanted"
  failures=$((failures + 1))
done < <(find include src tests benchmarks examples -type f -exec wc -l {} + | awk '$2 != "total"')

exit $((failures > 0))
