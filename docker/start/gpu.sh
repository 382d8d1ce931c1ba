# Which GPU there is, which tier it belongs to, and which flags ComfyUI gets for it.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# Tiers by memory in MiB as nvidia-smi reports it, about a tenth below the nominal sizes: an L4 of 24 GB says 23,034, an
# L40S of 48 GB 46,068.
readonly tiers=(consumer:21600 prosumer:43000 datacenter:)
# Below 8 GB, with the same tenth.
readonly low_memory_mib=7372

# The flags that a memory mode gives.
readonly -A mode_flags=(
  [full]=--highvram
  [model_cpu_offload]='--reserve-vram 2'
  [sequential_cpu_offload]=--novram
)

# How long nvidia-smi may take, in seconds.
gpu_patience=10

# One line a GPU: index, uuid, MiB, name. A driver that hangs must not hang the start.
list_gpus() {
  timeout -k 2 "$gpu_patience" nvidia-smi --query-gpu=index,uuid,memory.total,name --format=csv,noheader,nounits
}

# Whether the container was given a GPU, whatever nvidia-smi says. On a host with several, its number can be any.
has_gpu_device() {
  compgen -G "${HEARMEMAN_GPU_DEVICE}[0-9]*" >/dev/null
}

# ask_gpus_again CODE FILE: where nvidia-smi ended with that code though there is a GPU, asks once more with more
# patience. Sets gpu_code; FILE has the answer.
ask_gpus_again() {
  gpu_code=$1
  if ((gpu_code == 0 || gpu_code == 127)) || ! has_gpu_device; then return 0; fi
  gpu_patience=30
  say "there is a GPU, but nvidia-smi gives no answer: asking once more, for up to $gpu_patience s ..."
  # In the background, so that a signal is heard meanwhile.
  list_gpus >"$2" 2>&1 &
  gpu_code=0
  wait "$!" || gpu_code=$?
}

# choose_gpu CODE LIST: what list_gpus said and ended with. Sets gpu_name ('' where there is none), gpu_mib (''
# where unknown) and gpu_note. ComfyUI uses the first GPU that CUDA shows it.
choose_gpu() {
  local code=$1 list=$2 wanted=${CUDA_VISIBLE_DEVICES-any} index uuid mib name count=0
  gpu_name='' gpu_mib='' gpu_note=''
  if ((code != 0)); then
    choose_unknown_gpu "$@"
    return 0
  fi
  wanted=${wanted%%,*}
  while IFS=, read -r index uuid mib name; do
    uuid=$(trimmed "$uuid")
    if [[ ! $index =~ ^[0-9]+$ ]]; then continue; fi
    count=$((count + 1))
    if [[ -n $gpu_name ]] || ! is_wanted_gpu "$wanted" "$index" "$uuid"; then continue; fi
    gpu_name=$(trimmed "$name")
    mib=$(trimmed "$mib")
    if [[ $mib =~ ^[0-9]+$ ]]; then gpu_mib=$mib; fi
  done <<<"$list"
  if [[ -n $gpu_name ]]; then
    if ((count > 1)); then gpu_note="1 of $count GPUs: ComfyUI uses the first that it is shown"; fi
  elif ((count > 0)); then
    gpu_note="CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-} hides all $count GPUs"
  else
    gpu_note='nvidia-smi lists none'
  fi
}

# choose_unknown_gpu CODE LIST: nvidia-smi failed. That is no reason to leave a GPU unused that somebody pays for.
choose_unknown_gpu() {
  case $1 in
    124 | 137) gpu_note="nvidia-smi didn't answer within $gpu_patience s" ;;
    127) gpu_note="nvidia-smi isn't there" ;;
    *) gpu_note="nvidia-smi failed with exit code $1: $(printable "${2##*$'\n'}")" ;;
  esac
  if ! has_gpu_device; then return 0; fi
  case ${CUDA_VISIBLE_DEVICES-any} in
    '' | -*) return 0 ;;
  esac
  gpu_name='a GPU'
  warn "There is a GPU, but $gpu_note. ComfyUI is started with it all the same, without knowing its memory." \
    'If ComfyUI ends again and again, take another pod.'
}

# is_wanted_gpu WANTED INDEX UUID: CUDA takes an index or the beginning of a UUID. A part of a GPU has a UUID of its own,
# which nvidia-smi doesn't list here.
is_wanted_gpu() {
  case $1 in
    any | MIG-*) return 0 ;;
    '') return 1 ;;
    *[!0-9]*) [[ $3 == "$1"* ]] ;;
    *) [[ $1 == "$2" ]] ;;
  esac
}

# Sets tier and tier_reason; GPU_TIER wins.
choose_tier() {
  local entry
  if [[ $GPU_TIER != auto ]]; then
    tier=$GPU_TIER tier_reason="GPU_TIER=$GPU_TIER"
    return 0
  fi
  if [[ -z $gpu_name ]]; then
    tier=consumer tier_reason='without a GPU'
    return 0
  fi
  if [[ -z $gpu_mib ]]; then
    tier=consumer tier_reason='its memory is unknown; GPU_TIER can say more'
    return 0
  fi
  tier_reason='by its memory'
  for entry in "${tiers[@]}"; do
    tier=${entry%:*}
    if [[ -z ${entry#*:} ]] || ((gpu_mib < ${entry#*:})); then return 0; fi
  done
}

# Sets gpu_flags and flags_reason. Without a GPU everything but --cpu would make ComfyUI end at once.
choose_gpu_flags() {
  gpu_flags=()
  if [[ -z $gpu_name ]]; then
    gpu_flags=(--cpu) flags_reason='without a GPU'
  elif [[ -n ${mode_flags[$GPU_MEMORY_MODE]-} ]]; then
    read -ra gpu_flags <<<"${mode_flags[$GPU_MEMORY_MODE]}"
    flags_reason="GPU_MEMORY_MODE=$GPU_MEMORY_MODE"
  elif [[ -n $gpu_mib ]] && ((gpu_mib < low_memory_mib)); then
    gpu_flags=(--lowvram) flags_reason='less than 8 GB'
  else
    flags_reason='ComfyUI manages the memory by itself'
  fi
}

report_gpu() {
  local words
  if [[ -z $gpu_name ]]; then
    words="none ($gpu_note)"
  else
    words="$gpu_name, ${gpu_mib:-unknown} MiB${gpu_note:+ ($gpu_note)}"
  fi
  report gpu "$words; tier $tier ($tier_reason)"
}
