#!/usr/bin/env bash
# names.sh ROOT: one idea, one file, one name.
set -euo pipefail
cd "$1"

failures=0
complain() {
  echo "$*"
  failures=$((failures + 1))
}

folders=(include src tests benchmarks examples docs)
while read -r path; do
  name=$(basename "$path")
  stem=${name%%.*}
  stem=${stem%-inl}
  case $stem in
    util | utils | common | misc | helper | helpers | base | core | types | impl) complain "$path says nothing by its name" ;;
  esac
  [[ $path =~ ^(include|src|tests)/ && $name != CMakeLists.txt && ! $stem =~ ^[a-z0-9_-]+$ ]] && complain "$path is not snake_case"
  [[ $path == include/* && -f $path && $name != *.hpp ]] && complain "$path is not a header"
done < <(find "${folders[@]}" -mindepth 1 2> /dev/null)

for path in *; do
  case $path in
    build | build-* | CMakeLists.txt | CMakePresets.json | CMakeUserPresets.json | compile_commands.json) ;;
    include | src | tests | benchmarks | examples | docs) ;;
    README.md | LICENSE | CHANGELOG.md | CONTRIBUTING.md | ARCHITECTURE.md) ;;
    *) complain "$path does not belong at the top of the tree" ;;
  esac
done

while IFS= read -r match; do
  complain "unfinished: $match"
done < <(grep -rnE '\b(TO''DO|FIX''ME|XX''X)\b' "${folders[@]}" ./*.md CMakeLists.txt 2> /dev/null)

while IFS= read -r match; do
  complain "a macro without the library's prefix: $match"
done < <(grep -rnE '^ *# *define +' include | grep -vE '# *define +(DISTILL_|HWY_TARGET_INCLUDE)')

exit $((failures > 0))
