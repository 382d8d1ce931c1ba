#!/usr/bin/env bats
# ComfyUI's command line.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2154,SC2317,SC2329

load start.bash
setup() {
  use_start
  read_settings
  help=$(python3 "$repo/test/support/comfyui/main.py" --help)
  DATA_DIR=$base/data
  choose_user
  choose_directories
  choose_gpu 0 '0, GPU-aaa, 23034, NVIDIA L4'
  choose_tier
  choose_gpu_flags
}

# command_for ARGS: sets comfyui_command, and said to what was said.
command_for() {
  COMFYUI_ARGS=$1
  choose_comfyui_command >"$base/said"
  said=$(<"$base/said")
}

@test "flags are read from what --help lists, not from what its texts mention" {
  read_known_flags 'usage: main.py [-h] [--usage]

options:
  -h, --help            show this
  --cpu                 like
                        --medvram
  --fp8_e4m3fn-unet     x
  --reserve-vram GB'
  same "${known_flags[*]}" '--help --cpu --fp8_e4m3fn-unet --reserve-vram'
}

@test "all flags of a GPU are known to the ComfyUI that is pinned" {
  local flags
  read_known_flags "$help"
  for flags in --cpu --lowvram "${mode_flags[@]}"; do
    read -ra flags <<<"$flags"
    keep_known_flags "${flags[@]}"
    same "${dropped_flags[*]-}" ''
  done
}

@test "a flag that ComfyUI doesn't know is dropped with its values, and named" {
  read_known_flags "$help"
  command_for '--medvram --reserve-vram 2 --cpu-text-encoder 1 two --fast fp16_accumulation --normalvram=yes'
  has "${comfyui_command[*]}" '--reserve-vram 2 --fast fp16_accumulation'
  lacks "${comfyui_command[*]}" medvram
  lacks "${comfyui_command[*]}" two
  has "$said" "This ComfyUI doesn't know --medvram: it is left out. (Asked for by: COMFYUI_ARGS.)"
  has "$said" --cpu-text-encoder
  has "$said" --normalvram:
}

@test "an automatic flag that ComfyUI doesn't know is dropped as well" {
  read_known_flags $'  --cpu    x\n  --port PORT'
  GPU_MEMORY_MODE=sequential_cpu_offload
  choose_gpu_flags
  command_for ''
  lacks "${comfyui_command[*]}" --novram
  has "$said" "doesn't know --novram"
}

@test "negative numbers go with their flag" {
  read_known_flags "$help"
  command_for '--lowvran -1 --preview-size -1 --cuda-device 0'
  has "${comfyui_command[*]}" '--preview-size -1 --cuda-device 0'
  same "${dropped_flags[*]-}" ''
}

@test "if --help fails, flags are kept as they are" {
  read_known_flags ''
  command_for '--medvram --anything 3'
  has "${comfyui_command[*]}" '--medvram --anything 3'
  lacks "$said" "doesn't know"
}

@test "COMFYUI_ARGS takes the place of the automatic flags, and quotes hold words together" {
  read_known_flags "$help"
  GPU_MEMORY_MODE=full
  choose_gpu_flags
  command_for "--tls-keyfile '/a b/key' --cache-none"
  lacks "${comfyui_command[*]}" --highvram
  same "${comfyui_command[-3]}|${comfyui_command[-2]}|${comfyui_command[-1]}" '--tls-keyfile|/a b/key|--cache-none'
}

@test "nothing in COMFYUI_ARGS is run or expanded by a shell" {
  read_known_flags "$help"
  command_for "--cuda-device \$(touch $base/ran);\`touch $base/ran\` --preview-size *"
  [[ ! -e $base/ran ]]
  same "${comfyui_command[-1]}" '*'
}

@test "a quote without its partner doesn't lose the arguments" {
  read_known_flags "$help"
  command_for "--cache-none --comfy-api-base it's"
  same "${comfyui_command[-1]}" "it's"
  has "$said" 'a quote without its partner'
}

@test "COMFYUI_ARGS without --cpu where there is no GPU is pointed out" {
  read_known_flags "$help"
  choose_gpu 0 ''
  command_for '--cache-none'
  has "$said" 'There is no GPU, and COMFYUI_ARGS has no --cpu'
}

@test "arguments that lead ComfyUI away from what the agent and the health check look at are pointed out" {
  read_known_flags "$help"
  command_for '--output-directory /elsewhere --port 9000'
  has "$said" "r2-sync goes on looking at $DATA_DIR/output"
  has "$said" 'the health check goes on asking COMFYUI_PORT'
}

@test "ComfyUI's database and temporary files are never on the volume, where other pods have theirs" {
  read_known_flags "$help"
  command_for ''
  has "${comfyui_command[*]}" "--temp-directory $HEARMEMAN_LOCAL_DIR"
  has "${comfyui_command[*]}" "--database-url sqlite:///$HEARMEMAN_LOCAL_DIR/comfyui.db"
}

@test "an older ComfyUI gets neither --enable-manager nor --database-url" {
  read_known_flags $'  --port PORT\n  --listen IP\n  --base-directory D'
  command_for ''
  lacks "${comfyui_command[*]}" --enable-manager
  lacks "${comfyui_command[*]}" --database-url
}

@test "a ComfyUI that doesn't say which flags it takes gets neither --enable-manager nor --database-url" {
  read_known_flags ''
  command_for ''
  lacks "${comfyui_command[*]}" --enable-manager
  lacks "${comfyui_command[*]}" --database-url
}

@test "models that are elsewhere are also what nodes take for the models directory" {
  read_known_flags "$help"
  MODELS_DIR=$base/elsewhere
  command_for ''
  has "${comfyui_command[*]}" "--models-directory $base/elsewhere"
}

@test "ComfyUI takes the whole command line" {
  read_known_flags "$help"
  prepare_directories
  write_extra_model_paths
  command_for '--cpu --quick-test-for-ci'
  run python3 "$repo/test/support/comfyui/main.py" "${comfyui_command[@]}"
  same "$status" 0
}
