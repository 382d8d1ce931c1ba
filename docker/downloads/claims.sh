# Several pods may share a volume, and only one may write a file at a time. For every file there are numbered claims in
# MODELS_DIR/.downloads/claims/NAME; the highest is the holder, and it alone writes the file's partial of that number:
#   N        "run pod boot pid-namespace pid start": made once, exclusively, and never changed
#   N.free   its holder is done with it
# A takeover makes claim N+1, so there is no moment between removing and creating in which two could win, and it renames
# the partial to its own number: bytes are never lost, and whoever held N finds its file gone. runs/RUN is a holder's
# sign of life, a counter written in place. Silent is whose counter stood still for MODELS_LEASE_SECONDS by the
# observer's own clock. Locks of the file system aren't used: between pods they can't be relied on.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# What was last seen of other runs: the counter, and when it was first seen so.
declare -gA seen_beat=() seen_since=()

open_run() {
  local boot namespace
  boot=$(<"$proc/sys/kernel/random/boot_id")
  namespace=$(readlink "$proc/self/ns/pid") || namespace=unknown
  run_id=$(tr -d - <"$proc/sys/kernel/random/uuid")
  own_claim="$run_id ${RUNPOD_POD_ID:-${HOSTNAME:-unknown}} $boot ${namespace//[^0-9]/} $$ $(start_of $$)"
  beat_count=0
  beat || return 1
  # Of runs that were killed. A day is more than clocks differ.
  find "$state_dir/runs" -type f -mmin +1440 -delete 2>/dev/null || :
}

# In place and always of the same length: on MooseFS a rename would leave a file in the trash each time.
beat() {
  beat_count=$((beat_count + 1)) last_beat=$(now_ms)
  { printf '%020d\n' "$beat_count" 1<>"$state_dir/runs/$run_id"; } 2>/dev/null
}

close_run() {
  if [[ -n ${run_id-} ]]; then rm -f -- "$state_dir/runs/$run_id"* 2>/dev/null || :; fi
}

# start_of PID: when it started, in ticks since boot; a number that is used again has another one.
start_of() {
  local line
  { IFS= read -r line <"$proc/$1/stat"; } 2>/dev/null || return 1
  line=${line##*) }
  read -r -a line <<<"$line"
  printf '%s' "${line[19]}"
}

# highest_claim NAME: its number, 0 if there is none.
highest_claim() {
  local path number highest=0
  for path in "$state_dir/claims/$1"/*; do
    number=${path##*/}
    if [[ $number =~ ^[1-9][0-9]{0,11}$ ]] && ((number > highest)); then highest=$number; fi
  done
  printf '%d' "$highest"
}

# take_claim TO: sets claim_number if the file is ours to write now; otherwise claim_holder is the pod that has it.
take_claim() {
  local name dir number line
  name=$(state_name "$1")
  dir=$state_dir/claims/$name
  claim_number=0 claim_holder=''
  if [[ ! -d $dir ]] && ! (umask 000 && mkdir -p "$dir") 2>/dev/null; then return 1; fi
  number=$(highest_claim "$name")
  if ((number > 0)) && [[ ! -e $dir/$number.free ]]; then
    line=
    { read -r line <"$dir/$number"; } 2>/dev/null || :
    if [[ $line == "$run_id "* ]]; then
      claim_number=$number
      return 0
    fi
    if ! is_gone "$dir/$number" "$line"; then
      read -r _ claim_holder _ <<<"$line" || :
      claim_holder=${claim_holder:-another pod}
      return 1
    fi
  fi
  make_claim "$dir" "$((number + 1))" || return 1
  if (($(highest_claim "$name") != number + 1)); then return 1; fi
  claim_number=$((number + 1))
  drop_older_claims "$dir" "$claim_number"
}

# O_EXCL, which every file system has and which has one winner on MooseFS, too.
make_claim() {
  (umask 000 && set -o noclobber && printf '%s\n' "$own_claim" >"$1/$2") 2>/dev/null
}

drop_older_claims() {
  local path number
  for path in "$1"/*; do
    number=${path##*/}
    number=${number%.free}
    if [[ $number =~ ^[1-9][0-9]*$ ]] && ((number < $2)); then rm -f -- "$path" 2>/dev/null || :; fi
  done
}

release_claim() {
  local dir
  dir=$state_dir/claims/$(state_name "$1")
  if [[ -e $dir/$2 ]]; then : >"$dir/$2.free"; fi 2>/dev/null || :
}

# holds_claim TO NUMBER: nobody has taken it over.
holds_claim() {
  (($(highest_claim "$(state_name "$1")") == $2))
}

# is_gone PATH LINE: whether the holder that wrote this claim is dead. A process of this container is seen; of others
# there is only the counter. (The initial namespace has the same number everywhere; the boot id tells machines apart.)
is_gone() {
  local run pod boot namespace pid start mine patience now count=''
  read -r run pod boot namespace pid start <<<"$2" || :
  # Just made, or torn: known by its path, until something is in it.
  run=${run:-$1}
  read -r -a mine <<<"$own_claim"
  if [[ -n ${start-} && $boot == "${mine[2]}" && $namespace == "${mine[3]}" ]]; then
    [[ $(start_of "$pid") != "$start" ]]
    return
  fi
  patience=$MODELS_LEASE_SECONDS
  # A pod runs one container at a time: whoever had this pod's name before is most likely gone.
  if [[ -n ${RUNPOD_POD_ID-} && ${pod-} == "$RUNPOD_POD_ID" ]]; then patience=$((patience < 10 ? patience : 10)); fi
  { read -r count <"$state_dir/runs/$run"; } 2>/dev/null || :
  now=$(now_ms)
  if [[ ${seen_beat[$run]-none} != "$count" ]]; then
    seen_beat[$run]=$count seen_since[$run]=$now
    return 1
  fi
  ((now - seen_since[$run] >= patience * 1000))
}
