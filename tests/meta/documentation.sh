#!/usr/bin/env bash
# documentation.sh ROOT: every loss has its page in the fixed order, every link leads somewhere.
set -euo pipefail
cd "$1"

failures=0
complain() {
  echo "$*"
  failures=$((failures + 1))
}

headings="Formula,Gradient,Options,Special values,Accuracy,Speed,Source"
while read -r header; do
  name=$(basename "$header" .hpp)
  page=docs/losses/$name.md
  [[ $name == objective ]] && continue
  if [[ ! -f $page ]]; then
    complain "$name has no $page"
    continue
  fi
  found=$(grep '^## ' "$page" | sed 's/^## //' | paste -sd,)
  [[ $found == "$headings" ]] || complain "$page has the headings $found, expected $headings"
  grep -q "$name" docs/choosing.md || complain "docs/choosing.md does not mention $name"
  while read -r option; do
    grep -q "\`$option\`" "$page" || complain "$page does not explain $option"
  done < <(sed -nE '/^struct /,/operator\(\)/s/^  [A-Za-z_:<>0-9]+ ([a-z_]+) = .*;$/\1/p' "$header")
done < <(grep -lE 'double operator\(\)\(Student' include/distill/loss/*.hpp)

while IFS=: read -r page link; do
  target=$(sed -E 's/^\]\(([^)#]*).*/\1/' <<< "$link")
  [[ -z $target || $target =~ ^https?: ]] && continue
  [[ -e $(dirname "$page")/$target ]] || complain "$page links to $target, which does not exist"
done < <(find README.md CHANGELOG.md CONTRIBUTING.md ARCHITECTURE.md docs -name '*.md' -print0 |
         xargs -0 awk 'FNR == 1 { code = 0 } /^```/ { code = !code } !code {
           for (rest = $0; match(rest, /\]\([^)]*\)/); rest = substr(rest, RSTART + RLENGTH))
             print FILENAME ":" substr(rest, RSTART, RLENGTH)
         }')

exit $((failures > 0))
