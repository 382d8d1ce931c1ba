# shellcheck shell=bash

# bats notes every command that is run, so that it can tell the line of a failure, and that is most of the time of a test.
# The lines of the tests themselves are enough: without those of the functions that they call, a test takes half as long.
# bats' own functions must go on being noted, or it tells wrong lines.
trace_tests_only() {
  local name
  set +o functrace
  for name in $(compgen -A function | grep -E '^(test|bats)_'); do declare -ft "$name"; done
}
