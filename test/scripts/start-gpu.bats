#!/usr/bin/env bats
# Which GPU, which tier, which flags.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317,SC2329

load start.bash
setup() {
  use_start
  read_settings
}

# gpu MIB [NAME]: nvidia-smi that shows one GPU, asked as main does.
gpu() {
  choose_gpu 0 "0, GPU-11111111-aaaa, $1, ${2:-NVIDIA Test}"
  choose_tier
  choose_gpu_flags
}

@test "every size of GPU has its tier, also where nvidia-smi shows less than the nominal size" {
  local entry
  for entry in 4096:consumer 6144:consumer 8192:consumer 11264:consumer 12288:consumer 16380:consumer 20475:consumer \
    21599:consumer 21600:prosumer 22731:prosumer 23034:prosumer 24564:prosumer 32607:prosumer 40960:prosumer \
    42999:prosumer 43000:datacenter 46068:datacenter 49140:datacenter 81559:datacenter 97887:datacenter \
    143771:datacenter 183359:datacenter; do
    gpu "${entry%:*}"
    same "$entry" "${entry%:*}:$tier"
  done
}

@test "only GPUs below 8 GB get a flag by themselves" {
  local mib
  for mib in 2048 4096 6144 7371; do
    gpu "$mib"
    same "$mib ${gpu_flags[*]}" "$mib --lowvram"
  done
  for mib in 7372 7680 8188 8192 12288 16380 23034 46068 81559 183359; do
    gpu "$mib"
    same "$mib ${gpu_flags[*]-}" "$mib "
  done
}

@test "without a GPU it is --cpu, whatever the memory mode" {
  local mode
  for mode in auto full model_cpu_offload sequential_cpu_offload; do
    GPU_MEMORY_MODE=$mode
    choose_gpu 0 ''
    choose_gpu_flags
    same "${gpu_flags[*]}" --cpu
  done
}

@test "a memory mode gives its flags, on any size" {
  local mib
  for mib in 6144 23034 183359; do
    GPU_MEMORY_MODE=full && gpu "$mib"
    same "${gpu_flags[*]}" --highvram
    GPU_MEMORY_MODE=model_cpu_offload && gpu "$mib"
    same "${gpu_flags[*]}" '--reserve-vram 2'
    GPU_MEMORY_MODE=sequential_cpu_offload && gpu "$mib"
    same "${gpu_flags[*]}" --novram
  done
}

@test "GPU_TIER wins, in any case of letters" {
  local text
  for text in DataCenter DATACENTER datacenter '"datacenter"' ' datacenter '; do
    GPU_TIER=$text
    read_settings
    gpu 8192
    same "$tier" datacenter
  done
}

@test "GPU_MEMORY_MODE is understood in any case of letters" {
  GPU_MEMORY_MODE=Full
  read_settings
  gpu 23034
  same "${gpu_flags[*]}" --highvram
}

@test "a tier and a mode that nobody knows are named, and auto is used" {
  GPU_TIER=enormous GPU_MEMORY_MODE=medvram
  read_settings >"$base/out"
  gpu 23034
  same "$tier" prosumer
  same "${gpu_flags[*]-}" ''
  has "$(<"$base/out")" "GPU_TIER=enormous isn't known: auto is used. It can be auto, consumer, prosumer, datacenter."
  has "$(<"$base/out")" "GPU_MEMORY_MODE=medvram isn't known"
}

@test "of several GPUs the first counts, and the report says how many there are" {
  choose_gpu 0 $'0, GPU-aaa, 23034, NVIDIA L4\n1, GPU-bbb, 81559, NVIDIA H100'
  choose_tier
  same "$gpu_name/$tier" 'NVIDIA L4/prosumer'
  has "$(report_gpu)" '1 of 2 GPUs'
}

@test "of several GPUs the first that CUDA_VISIBLE_DEVICES shows counts, by number or by UUID" {
  local list=$'0, GPU-aaa, 23034, NVIDIA L4\n1, GPU-bbb, 81559, NVIDIA H100'
  CUDA_VISIBLE_DEVICES=1,0
  choose_gpu 0 "$list"
  same "$gpu_mib" 81559
  CUDA_VISIBLE_DEVICES=GPU-bb
  choose_gpu 0 "$list"
  same "$gpu_mib" 81559
  CUDA_VISIBLE_DEVICES=0
  choose_gpu 0 "$list"
  same "$gpu_mib" 23034
}

@test "GPUs that CUDA_VISIBLE_DEVICES hides are none" {
  local hidden
  for hidden in '' -1; do
    CUDA_VISIBLE_DEVICES=$hidden
    choose_gpu 0 '0, GPU-aaa, 23034, NVIDIA L4'
    choose_gpu_flags
    same "${gpu_flags[*]}" --cpu
    has "$gpu_note" 'hides all 1 GPUs'
  done
}

@test "nvidia-smi that fails is no GPU, and the report says what it said" {
  stand_in nvidia-smi 'echo "NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver."; exit 9'
  local code=0 text
  text=$(list_gpus) || code=$?
  choose_gpu "$code" "$text"
  choose_tier
  choose_gpu_flags
  same "${gpu_flags[*]}" --cpu
  has "$(report_gpu)" 'none (nvidia-smi failed with exit code 9: NVIDIA-SMI has failed because'
}

@test "nvidia-smi that isn't there, or hangs, is no GPU, and the report says so" {
  only_basics nvidia-smi
  local code=0
  list_gpus || code=$?
  choose_gpu "$code" ''
  choose_tier
  has "$(report_gpu)" "none (nvidia-smi isn't there); tier consumer"
  choose_gpu 124 ''
  has "$(report_gpu)" "nvidia-smi didn't answer within 10 s"
}

@test "nvidia-smi is asked with a limit of time" {
  stand_in timeout 'echo "$@"'
  has "$(list_gpus)" '10 nvidia-smi'
}

@test "a GPU whose memory nvidia-smi doesn't know is used without flags" {
  gpu '[N/A]' 'NVIDIA GB10'
  same "$gpu_name/$tier/${gpu_flags[*]-}" 'NVIDIA GB10/consumer/'
  has "$(report_gpu)" 'NVIDIA GB10, unknown MiB'
}

# ask: nvidia-smi is asked as main does, and gpu_* are set. What was said is in said.
ask() {
  local code=0
  list_gpus >"$base/gpus" 2>&1 || code=$?
  ask_gpus_again "$code" "$base/gpus" >"$base/said"
  choose_gpu "$gpu_code" "$(<"$base/gpus")" >>"$base/said"
  choose_tier
  choose_gpu_flags
  said=$(<"$base/said")
}

# gpu_device NUMBER: the container has a GPU of that number.
gpu_device() {
  mkdir -p "$base/dev"
  touch "$HEARMEMAN_GPU_DEVICE$1" "${HEARMEMAN_GPU_DEVICE}ctl"
}

@test "nvidia-smi that fails at first is asked once more, with more patience, where there is a GPU" {
  stand_in nvidia-smi "if [[ -e '$base/asked' ]]; then echo '0, GPU-aaa, 23034, NVIDIA L4'; exit; fi
touch '$base/asked'; exit 9"
  stand_in timeout "echo \"\$3\" >>'$base/patience'; shift 3; exec \"\$@\""
  gpu_device 3
  ask
  same "$gpu_name/$gpu_mib/$tier/${gpu_flags[*]-}" 'NVIDIA L4/23034/prosumer/'
  same "$(<"$base/patience")" $'10\n30'
  lacks "$said" '!!!'
}

@test "a GPU of which nvidia-smi says nothing is used all the same, without --cpu, and loudly" {
  local code
  gpu_device 0
  for code in 9 124; do
    stand_in nvidia-smi "echo 'Unable to determine the device handle'; exit $code"
    ask
    same "$gpu_name/$gpu_mib/$tier/${gpu_flags[*]-}" 'a GPU//consumer/'
    has "$said" '!!! There is a GPU, but nvidia-smi '
    has "$(report_gpu)" 'a GPU, unknown MiB (nvidia-smi '
  done
  has "$said" "didn't answer within 30 s"
}

@test "a GPU without nvidia-smi, which some hosts don't bring along, is used" {
  gpu_device 0
  only_basics nvidia-smi
  ask
  same "${gpu_flags[*]-}" ''
  lacks "$said" 'once more'
  has "$said" "There is a GPU, but nvidia-smi isn't there."
}

@test "without a GPU nvidia-smi isn't asked twice, and one that is hidden isn't used" {
  stand_in nvidia-smi "echo >>'$base/asked'; exit 9"
  ask
  same "$(wc -l <"$base/asked")/${gpu_flags[*]}/$said" '1/--cpu/'
  gpu_device 0
  CUDA_VISIBLE_DEVICES=-1
  ask
  same "${gpu_flags[*]}" --cpu
}

@test "a part of a GPU that CUDA_VISIBLE_DEVICES names counts as one" {
  CUDA_VISIBLE_DEVICES=MIG-6e1a2b
  choose_gpu 0 '0, GPU-aaa, 81559, NVIDIA H100'
  choose_gpu_flags
  same "$gpu_name/${gpu_flags[*]-}" 'NVIDIA H100/'
}

@test "the start asks once more before it chooses the GPU" {
  local before
  before=$(declare -f main)
  has "${before%%choose_gpu *}" ask_gpus_again
}
