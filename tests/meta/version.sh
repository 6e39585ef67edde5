#!/usr/bin/env bash
# version.sh ROOT BUILT: the version is one number everywhere.
set -euo pipefail
cd "$1"

header=$(sed -nE 's/^#define DISTILL_VERSION_(MAJOR|MINOR|PATCH) ([0-9]+)$/\2/p' include/distill/version.hpp | paste -sd.)
changelog=$(sed -nE 's/^## \[?([0-9]+\.[0-9]+\.[0-9]+)\]?.*/\1/p' CHANGELOG.md | head -1)
namespace=$(sed -nE 's/^#define DISTILL_ABI (v[0-9]+)$/\1/p' include/distill/version.hpp)

failures=0
agree() {
  [[ $2 == "$3" ]] && return
  echo "$1 says $2, expected $3"
  failures=$((failures + 1))
}
agree "the build" "$2" "$header"
agree "the newest entry of CHANGELOG.md" "$changelog" "$header"
agree "the inline namespace" "$namespace" "v${header%%.*}"
exit $((failures > 0))
