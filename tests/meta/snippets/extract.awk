# awk -v output=PREFIX -f extract.awk PAGE: writes PREFIX-N.cpp and PREFIX-N.txt, prints the names of the programs.
function start_program() {
  count += 1
  body = includes = ""
  is_complete = 0
  program = output "-" count ".cpp"
  expected = output "-" count ".txt"
}

function write_program() {
  if (is_complete) {
    printf "%s%s", includes, body > program
  } else {
    printf "#include \"prelude.hpp\"\n%s\nint main() {\n%s}\n", includes, body > program
  }
  close(program)
  print program
}

/^```cpp$/ { start_program(); block = "cpp"; next }
/^```text$/ && follows_program { block = "text"; printf "" > expected; next }
/^```/ {
  follows_program = block == "cpp"
  if (block == "cpp") write_program()
  if (block == "text") close(expected)
  block = (block == "" && $0 != "```") ? "other" : ""
  next
}
block == "cpp" {
  if ($0 ~ /^int main\(/) is_complete = 1
  if ($0 ~ /^#include/) includes = includes $0 "\n"
  else body = body $0 "\n"
  next
}
block == "text" { print > expected; next }
block == "" && $0 != "" { follows_program = 0 }
