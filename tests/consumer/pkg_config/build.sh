#!/usr/bin/env bash
# build.sh COMPILER PKG_CONFIG LIBDIR PACKAGE OUTPUT: compiles the consumer with what the .pc file says, and runs it.
set -euo pipefail
compiler=$1 pkg_config=$2 libdir=$3 package=$4 output=$5
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

export PKG_CONFIG_PATH=$libdir/pkgconfig
read -r -a flags <<< "$("$pkg_config" --cflags "$package")"
read -r -a libraries <<< "$("$pkg_config" --libs "$package")"
"$compiler" -std=c++20 -Wall -Wextra -Wpedantic -Wmissing-field-initializers -Werror "${flags[@]}" \
  "$here/../main.cpp" "$here/../second_unit.cpp" -o "$output" "${libraries[@]}" -Wl,-rpath,"$libdir"
"$output"
