#!/usr/bin/env bash
# umbrella.sh ROOT: all headers together in one translation unit, header-only, with the warnings of a careful user.
set -euo pipefail
cd "$1"

echo '#include <distill/distill.hpp>' |
  "${CXX:-c++}" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic -Wshadow -Werror -DDISTILL_HEADER_ONLY \
    -DHWY_WANT_AVX3_DL -Iinclude -x c++ -
