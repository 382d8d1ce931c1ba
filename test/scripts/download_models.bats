#!/usr/bin/env bats
# Every function of download_models.sh by itself. How they work together is in test/image/downloads*.test.ts.
# shellcheck disable=SC2030,SC2031,SC2034,SC2154 # each test is a subshell; variables are the script's

load download_models_helper

setup() {
  load_script
}

@test "every function of the script has a test in this file" {
  local name missing=()
  for name in $(sed -n 's/^\([a-z_]*\)() {$/\1/p' "$repository/download_models.sh" "$repository/docker/common.sh" "$repository"/docker/downloads/*.sh); do
    if ! grep -qw "$name" "$BATS_TEST_FILENAME"; then missing+=("$name"); fi
  done
  echo "no test: ${missing[*]}"
  ((${#missing[@]} == 0))
}

# ---- words.sh

@test "say and warn: every line names its speaker, and a warning stands out" {
  [[ $(say one two) == '[models] one two' ]]
  [[ $(warn one two) == '[models] !!! one two' ]]
}

@test "size_text: sizes as hosts give them, short" {
  [[ $(size_text 0) == '0 kB' ]]
  [[ $(size_text 1) == '1 kB' ]]
  [[ $(size_text 253815318) == '253 MB' ]]
  [[ $(size_text 6735906897) == '6.73 GB' ]]
  [[ $(size_text 1009400960) == '1.00 GB' ]]
  [[ $(size_text 14294742832) == '14.2 GB' ]]
}

@test "seconds_text, speed_text and count_text read like sentences" {
  [[ $(seconds_text 59) == '59 s' ]]
  [[ $(seconds_text 61) == '1 min 1 s' ]]
  [[ $(seconds_text 7260) == '2 h 1 min' ]]
  [[ $(speed_text 200000000 2000) == '100 MB/s' ]]
  [[ $(speed_text 5000000 0) == '5.00 GB/s' ]]
  [[ $(count_text 1 file files) == '1 file' ]]
  [[ $(count_text 0 file files) == '0 files' ]]
}

@test "printable: no control characters, no endless lines" {
  [[ $(printable $'a\tb\e[31m') == 'a?b?[31m' ]]
  text=$(printf 'x%.0s' {1..500})
  [[ $(printable "$text" | wc -c) == 300 ]]
}

@test "now_ms and pause: the clock moves on over a pause, which needs no process" {
  local before
  before=$(now_ms)
  PATH='' pause 0.05
  (($(now_ms) > before))
}

# ---- settings.sh

@test "read_settings: defaults of docker/settings.json hold" {
  unset MODELS_DIR
  HF_ENDPOINT='' CIVITAI_ENDPOINT='' DOWNLOAD_TIMEOUT='' SHARED_MODELS_DIR='' MODELS_MANIFEST='' WORKSPACE=''
  read_settings
  for name in MODELS_DIR HF_ENDPOINT CIVITAI_ENDPOINT DOWNLOAD_TIMEOUT SHARED_MODELS_DIR DRY_RUN GPU_TIER; do
    default=$(jq -r --arg name "$name" '.[] | select(.name == $name) | .default' "$repository/docker/settings.json")
    echo "$name=${!name}, documented: $default"
    [[ ${!name} == "$default" ]]
  done
  [[ $MODELS_MANIFEST == "$repository/docker/models.json" ]]
}

@test "read_settings: a number that is none falls back, a directory that is no full path ends it" {
  DOWNLOAD_TIMEOUT=soon
  run read_settings
  [[ $output == *'DOWNLOAD_TIMEOUT=soon'*'60 is used'* ]]
  MODELS_DIR=models
  run read_settings
  [[ $status == 2 && $output == *"isn't a full path"* ]]
}

@test "clean_setting, trimmed and is_true: blanks, quotes, any case" {
  NAME='  "a b" '
  clean_setting NAME x
  [[ $NAME == 'a b' ]]
  NAME=' '
  clean_setting NAME x
  [[ $NAME == x ]]
  [[ $(trimmed "'x'") == x && $(trimmed '"x') == '"x' ]]
  is_true Yes && is_true 1 && is_true TRUE && is_true on
  refuses is_true false
  refuses is_true ''
  refuses is_true 2
}

@test "check_endpoint: a slash at the end goes, what is no address is told" {
  HF_ENDPOINT=https://mirror.example/hf/
  check_endpoint HF_ENDPOINT
  [[ $HF_ENDPOINT == https://mirror.example/hf ]]
  for HF_ENDPOINT in mirror.example 'https://a b' 'file:///etc' $'https://a\nb' 'https://a"b'; do
    run check_endpoint HF_ENDPOINT
    [[ $status == 2 && $output == *HF_ENDPOINT* ]]
  done
}

@test "read_secret: into a variable that no child sees; the name itself is gone" {
  export HF_TOKEN=' hf_abc '
  read_secret HF_TOKEN hf_token
  [[ $hf_token == hf_abc ]]
  [[ $(env) != *hf_abc* ]]
  printf 'hf_file\n' >"$BATS_TEST_TMPDIR/token"
  export HF_TOKEN_FILE=$BATS_TEST_TMPDIR/token
  read_secret HF_TOKEN hf_token
  [[ $hf_token == hf_file && -z ${HF_TOKEN_FILE-} ]]
}

@test "read_secret, unreplaced_secret: braces in a value are part of it, unless it is a RunPod secret's placeholder and nothing else" {
  local text
  for text in 'hf_{{x}}' '{{hf}}' '{{RUNPOD_SECRET_x}}hf' 'hf{{RUNPOD_SECRET_x}}'; do
    HF_TOKEN=$text
    read_secret HF_TOKEN hf_token >"$BATS_TEST_TMPDIR/said" 2>&1
    [[ $hf_token == "$text" && ! -s $BATS_TEST_TMPDIR/said ]]
  done
  HF_TOKEN='{{RUNPOD_SECRET_x}}'
  read_secret HF_TOKEN hf_token 2>&1
  [[ -z $hf_token ]]
  # Neither a value nor a placeholder: it isn't shown.
  HF_TOKEN='{{ hf_mine }}'
  run read_secret HF_TOKEN hf_token
  [[ $output == *'counts as unset'* && $output != *hf_mine* ]]
}

@test "read_secret: what can't be one counts as unset and is told, without showing it" {
  HF_TOKEN='{{ RUNPOD_SECRET_X }}'
  run read_secret HF_TOKEN hf_token
  [[ $output == *"HF_TOKEN is {{ RUNPOD_SECRET_X }}, which RunPod didn't replace"* ]]
  HF_TOKEN=$'hf_two\nlines'
  run read_secret HF_TOKEN hf_token
  [[ $output == *'counts as unset'* && $output != *hf_two* ]]
  HF_TOKEN_FILE=/nowhere
  run read_secret HF_TOKEN hf_token
  [[ $output == *"can't be read"* ]]
}

# ---- manifest.sh

@test "check_manifest: docker/models.json is in order" {
  run check_manifest
  echo "$output"
  [[ $status == 0 && -z $output ]]
}

@test "manifest_problems: names what is wrong" {
  MODELS_MANIFEST=$BATS_TEST_TMPDIR/list.json
  jq '.files.umt5.to = "../x" | .files["wan21-vae"].sha256 = "abc" | .files.scail.repo = "none"
    | .files.vace.to = .files.scail.to | .toggles[0].fetches += ["none"]' "$repository/docker/models.json" >"$MODELS_MANIFEST"
  run manifest_problems
  echo "$output"
  [[ $output == *'umt5: "to"'* && $output == *'wan21-vae: its size or sha256'* && $output == *'scail: its repo'* ]]
  [[ $output == *'two entries go to diffusion_models/wan2.1_14B_SCAIL_2'* && $output == *'ENABLE_WAN22: there is no entry none'* ]]
  run check_manifest
  [[ $status == 2 && $output == *"isn't in order"* ]]
  rm "$MODELS_MANIFEST"
  run check_manifest
  [[ $status == 2 && $output == *"can't be read"* ]]
}

@test "wanted_lines: every toggle by itself, with every choice and every extra, names files and no error" {
  local name choice value extra lines
  while IFS='|' read -r name choice value extra; do
    lines=$(export "$name=true" GPU_TIER=datacenter
      if [[ -n $choice ]]; then export "$choice=$value"; fi
      if [[ -n $extra ]]; then export "$extra=true"; fi
      wanted_lines)
    echo "$name $choice $value $extra: $lines"
    [[ $lines != *error* && $lines =~ (file|snapshot|lora)$US ]]
  done < <(jq -r '.toggles[] | .name as $name
    | if .choice then (.choice as $choice | $choice.values | keys[] | "\($name)|\($choice.name)|\(.)|")
      elif .ids then "\($name)|\(.ids.name)|12345|" else "\($name)|||" end,
      (.extras // [] | .[] | "\($name)|||\(.name)")' "$repository/docker/models.json")
}

@test "wanted_lines: nothing is asked for, nothing is wanted" {
  [[ -z $(wanted_lines) ]]
}

@test "wanted_lines: values in any case, with blanks and quotes, are understood" {
  [[ $(ENABLE_ZIMAGE=' "YES" ' wanted_lines | wc -l) == 3 ]]
  [[ -z $(ENABLE_ZIMAGE=off wanted_lines) ]]
  [[ $(ENABLE_STEADYDANCER=1 STEADYDANCER_VARIANT=' FP16 ' wanted_lines) == *SteadyDancer_fp16* ]]
}

@test "wanted_lines: unknown values are errors of their own toggle" {
  run env ENABLE_ZIMAGE=maybe ENABLE_DWPOSE=true bash -c "$(declare -f wanted_lines); US=\$'\x1f' GPU_TIER=auto MODELS_MANIFEST='$MODELS_MANIFEST'; wanted_lines"
  [[ $output == *"error${US}ENABLE_ZIMAGE${US}ENABLE_ZIMAGE=maybe must be true or false"* && $output == *yolox_l.onnx* ]]
  lines=$(ENABLE_STEADYDANCER=1 STEADYDANCER_VARIANT=bf16 wanted_lines)
  [[ $lines == "error${US}ENABLE_STEADYDANCER${US}STEADYDANCER_VARIANT knows no bf16: it can be fp8, fp16, gguf" ]]
  lines=$(ENABLE_CONTROLNET=1 CONTROLNET_MODELS=canny,x,depth wanted_lines)
  [[ $lines == *'CONTROLNET_MODELS knows no x'* ]]
  lines=$(ENABLE_CIVITAI=1 CIVITAI_LORAS=12,abc wanted_lines)
  [[ $lines == *"lora${US}ENABLE_CIVITAI${US}loras${US}12"* && $lines == *'CIVITAI_LORAS has "abc"'* ]]
  lines=$(ENABLE_CIVITAI=1 wanted_lines)
  [[ $lines == *'CIVITAI_LORAS names, which is unset'* ]]
}

@test "wanted_lines: ENABLE_WAN22_DISTILL is image to video of WAN 2.2, as ENABLE_WAN22 with ENABLE_I2V has it" {
  local old new
  old=$(ENABLE_WAN22_DISTILL=true wanted_lines | cut -d "$US" -f 3- | sort)
  new=$(ENABLE_WAN22=true ENABLE_I2V=true wanted_lines | cut -d "$US" -f 3- | sort -u)
  [[ $(grep -c . <<<"$old") == 6 && $old == *i2v_high_noise* ]]
  [[ -z $(comm -23 <(printf '%s\n' "$old") <(printf '%s\n' "$new")) ]]
}

@test "wanted_lines: what is for datacenter GPUs is skipped on smaller ones, with the way around" {
  GPU_TIER=prosumer
  lines=$(ENABLE_STORYMEM=true wanted_lines)
  [[ $lines == error* && $lines == *'GPU_TIER=datacenter fetches it all the same'* ]]
  GPU_TIER=Datacenter
  lines=$(ENABLE_STORYMEM=true wanted_lines)
  [[ $lines == *"note$US"*'is experimental'* && $lines == *"snapshot$US"* ]]
}

@test "stray_lines: a misspelt toggle and an extra that goes with nothing are told" {
  export ENABLE_WAN_22=true ENABLE_R2_SYNC=true
  lines=$(stray_lines)
  [[ $lines == "note${US}ENABLE_WAN_22${US}ENABLE_WAN_22 is no toggle"* && $(wc -l <<<"$lines") == 1 ]]
  unset ENABLE_WAN_22
  export ENABLE_I2V=1
  [[ $(stray_lines) == *'ENABLE_I2V alone fetches nothing: it goes with ENABLE_WAN22 or WAN_720P' ]]
  export ENABLE_WAN22=1
  [[ -z $(stray_lines) ]]
}

# ---- http.sh

@test "origin_of and host_of: scheme, host and port, without a standard port" {
  [[ $(origin_of 'HTTPS://Hub.example:443/a?b') == https://hub.example ]]
  [[ $(origin_of http://127.0.0.1:80) == http://127.0.0.1 ]]
  [[ $(origin_of https://a.example:8443/x) == https://a.example:8443 ]]
  [[ $(host_of 'https://a.example:8443/x?secret') == a.example:8443 ]]
  refuses origin_of https://user@hub.example/x
  refuses origin_of ftp://a
}

@test "token_for: only the token's own host, and no open line" {
  hf_token=HF civitai_key=CV HF_ENDPOINT=https://huggingface.co CIVITAI_ENDPOINT=https://civitai.com
  [[ $(token_for https://huggingface.co/x) == HF && $(token_for https://civitai.com/x) == CV ]]
  for url in https://cdn.huggingface.co/x https://huggingface.co.evil.example/ https://evil.example/?https://huggingface.co \
    https://huggingface.co:8443/ http://huggingface.co/ https://user@huggingface.co/; do
    [[ -z $(token_for "$url") ]]
  done
  HF_ENDPOINT=http://10.0.0.5:80
  [[ -z $(token_for http://10.0.0.5/x) ]]
  HF_ENDPOINT=http://127.0.0.1:81
  [[ $(token_for http://127.0.0.1:81/x) == HF ]]
}

@test "curl_config and is_plain_url: nothing can break out of a line" {
  [[ $(curl_config https://a.example/ '') == 'url = "https://a.example/"' ]]
  [[ $(curl_config https://a.example/ T) == *$'\n''header = "Authorization: Bearer T"' ]]
  is_plain_url https://a.example/x?y=z
  refuses is_plain_url $'https://a.example/\nout=/etc/passwd'
  refuses is_plain_url 'https://a.example/" x'
  refuses is_plain_url 'file:///etc/passwd'
}

@test "ask: status, headers, body; the token goes by standard input and not by arguments" {
  hf_token=hf_secret
  host_answers 'HTTP/2 200\r\nX-Linked-Size: 5\r\n\r\nbody'
  ask GET https://huggingface.co/x
  [[ $answer_status == 200 && ${answer_header[x-linked-size]} == 5 && $answer_body == body ]]
  [[ $(cat "$BATS_TEST_TMPDIR/curl.stdin") == *'Bearer hf_secret'* ]]
  [[ $(cat "$BATS_TEST_TMPDIR/curl.calls") != *hf_secret* && $(cat "$BATS_TEST_TMPDIR/curl.calls") != *huggingface* ]]
  ask HEAD https://huggingface.co/x
  [[ $(tail -n 1 "$BATS_TEST_TMPDIR/curl.calls") == *--head* ]]
  ask PEEK https://huggingface.co/x
  [[ $(tail -n 1 "$BATS_TEST_TMPDIR/curl.calls") == *'--range 0-0'* ]]
}

@test "ask: no answer is status 000 with curl's own words" {
  stand_in curl <<<'cat >/dev/null; echo "curl: (6) Could not resolve host: x" >&2; exit 6'
  ask GET https://x.example/
  [[ $answer_status == 000 && $answer_error == '(6) Could not resolve host: x' ]]
  ask GET 'not an address'
  [[ $answer_status == 000 ]]
}

@test "read_answer: a proxy's answer before the host's doesn't count" {
  read_answer $'HTTP/1.1 200 Connection established\n\nHTTP/2 302\nLocation: /x\nA: b:c\n\nbody\n\nmore'
  [[ $answer_status == 302 && ${answer_header[location]} == /x && ${answer_header[a]} == b:c ]]
  [[ $answer_body == $'body\n\nmore' ]]
  read_answer $'HTTP/2 404\nx: y'
  [[ $answer_status == 404 && ${answer_header[x]} == y ]]
}

@test "absolute_url: every form of a Location" {
  [[ $(absolute_url https://a.example/b/c https://d.example/e) == https://d.example/e ]]
  [[ $(absolute_url https://a.example/b/c //d.example/e) == https://d.example/e ]]
  [[ $(absolute_url https://a.example/b/c /e) == https://a.example/e ]]
  [[ $(absolute_url https://a.example/b/c e) == https://a.example/b/e ]]
}

@test "ask_json: a body that is none is a failure, so is a redirect to another host" {
  host_answers 'HTTP/2 200\n\n{"a": 1}'
  ask_json https://huggingface.co/api/x
  host_answers 'HTTP/2 200\n\n<html>'
  refuses ask_json https://huggingface.co/api/x
  [[ $failure_kind == html ]]
  host_answers 'HTTP/2 307\nLocation: https://evil.example/\n\n'
  refuses ask_json https://huggingface.co/api/x
  [[ $(grep -c evil "$BATS_TEST_TMPDIR/curl.stdin") == 0 ]]
}

@test "ask_patiently: a host that is busy is asked again, then given up" {
  host_answers 'HTTP/2 429\nRetry-After: 0\n\n' 'HTTP/2 503\n\n' 'HTTP/2 200\n\n'
  ask_patiently HEAD https://huggingface.co/x
  [[ $answer_status == 200 && $(cat "$BATS_TEST_TMPDIR/asked") == 3 ]]
  host_answers 'HTTP/2 429\n\n'
  refuses ask_patiently HEAD https://huggingface.co/x
  [[ $failure_kind == 429 && $(cat "$BATS_TEST_TMPDIR/asked") == "$most_failures" ]]
}

@test "fail_by_status and failure: kinds that have words of their own" {
  answer_header=() answer_error=''
  for pair in 000:unreachable 401:401 403:403 404:404 410:404 429:429 500:status 418:status; do
    answer_status=${pair%:*}
    fail_by_status https://huggingface.co/x
    [[ $failure_kind == "${pair#*:}" && $failure_host == huggingface.co ]]
  done
  failure a b c
  [[ $failure_kind$failure_detail$failure_host == abc ]]
}

# ---- sources.sh

@test "hugging_face_url, encoded and encoded_path: names with blanks, signs and umlauts" {
  [[ $(hugging_face_url o/r main 'a b/ü%.bin') == https://huggingface.co/o/r/resolve/main/a%20b/%C3%BC%25.bin ]]
  [[ $(encoded refs/pr/1) == refs%2Fpr%2F1 ]]
  [[ $(encoded_path a/b) == a/b ]]
}

@test "find_source and find_on_hugging_face: the signed address is taken, not asked, and what it is was announced" {
  one_item
  hash=$(sum_of x)
  host_answers "HTTP/2 302\nLocation: https://cdn.example/x?sig=1\nX-Linked-Size: 7\nX-Linked-ETag: \"$hash\"\nX-Repo-Commit: $(printf 'a%.0s' {1..40})\n\n"
  find_source 0
  [[ $source_url == 'https://cdn.example/x?sig=1' && $source_size == 7 && $source_sha256 == "$hash" && $source_secret == 0 ]]
  [[ $source_commit == aaaa* && $(cat "$BATS_TEST_TMPDIR/asked") == 1 ]]
}

@test "find_on_hugging_face: a repository that moved is followed on the same host" {
  host_answers 'HTTP/2 307\nLocation: /new/name/resolve/main/x\n\n' 'HTTP/2 302\nLocation: https://cdn.example/x\n\n'
  find_on_hugging_face https://huggingface.co/old/name/resolve/main/x
  [[ $source_url == https://cdn.example/x ]]
  host_answers 'HTTP/2 307\nLocation: /a\n\n'
  refuses find_on_hugging_face https://huggingface.co/x
  host_answers 'HTTP/2 404\nX-Error-Code: EntryNotFound\n\n'
  refuses find_on_hugging_face https://huggingface.co/x
  [[ $failure_kind == 404 ]]
}

@test "note_what_is_there: only what looks like a hash is one" {
  source_size='' source_sha256='' source_blob='' source_commit=''
  answer_header=([etag]='W/"abc"' [x-linked-size]=many)
  note_what_is_there
  [[ -z $source_size$source_sha256$source_blob ]]
  answer_header=([etag]="\"$(printf 'b%.0s' {1..40})\"")
  note_what_is_there
  [[ $source_blob == bbbb* ]]
}

@test "accept_answer and accept_url: no page, no address that could break out" {
  source_size='' source_secret=0 hf_token=T
  answer_header=([content-type]='text/html; charset=utf-8')
  refuses accept_answer https://huggingface.co/x
  answer_header=([content-length]=12)
  accept_answer https://huggingface.co/x
  [[ $source_size == 12 && $source_secret == 1 ]]
  accept_url https://cdn.example/x
  refuses accept_url $'https://cdn.example/x\n out=/etc/passwd'
}

@test "find_on_civitai: the key goes by header, the login page is an error, the redirect is taken" {
  civitai_key=cv_secret
  add_item ENABLE_A loras/a.safetensors '' '' '' 0 civitai 42
  host_answers 'HTTP/2 307\nLocation: https://b2.example/a?sig=1\n\n'
  find_source 0
  [[ $source_url == 'https://b2.example/a?sig=1' ]]
  [[ $(cat "$BATS_TEST_TMPDIR/curl.stdin") == *'/api/download/models/42"'*'Bearer cv_secret'* ]]
  host_answers 'HTTP/2 307\nLocation: /login?returnUrl=x\n\n'
  refuses find_on_civitai https://civitai.com/api/download/models/42
  [[ $failure_kind == 401 ]]
}

@test "list_snapshot: files with size and hash; no directories, nothing that leads out" {
  host_answers 'HTTP/2 200\n\n[{"type":"file","path":"a/b.bin","size":9,"lfs":{"oid":"ff","size":5}},{"type":"directory","path":"a"},{"type":"file","path":"../x","size":1},{"type":"file","path":".gitattributes","size":1},{"type":"file","path":"c.json","size":3}]'
  [[ $(list_snapshot o/r main) == "5${US}ff${US}a/b.bin"$'\n'"3${US}${US}c.json" ]]
}

@test "describe_civitai: size, hash and name of the main file; a name that leads out is refused" {
  host_answers 'HTTP/2 200\n\n{"files":[{"name":"x.zip","sizeKB":1},{"name":"Style v1.safetensors","primary":true,"sizeKB":1.5,"hashes":{"SHA256":"AB"}}]}'
  [[ $(describe_civitai 1) == "1536${US}ab${US}Style v1.safetensors" ]]
  host_answers 'HTTP/2 200\n\n{"files":[{"name":"../x","primary":true,"sizeKB":1}]}'
  refuses describe_civitai 1
}

@test "failure_text: every kind says what happened and what to do, and shows no address" {
  one_item
  for kind in 401 403 404 429 html size hash full room write unreachable cut status; do
    failure "$kind" detail host.example
    text=$(failure_text 0)
    echo "$kind: $text"
    [[ ${#text} -gt 5 && $text != *sig=* ]]
  done
  failure 401 '' host
  hf_token=''
  [[ $(failure_text 0) == *'Set HF_TOKEN'* ]]
  hf_token=x
  [[ $(failure_text 0) == *"doesn't accept HF_TOKEN"* ]]
}

# ---- volume.sh

@test "state_name: one name for each path, never too long" {
  [[ $(state_name 'a/b%2Fc') == 'a%2Fb%252Fc' ]]
  long=$(printf 'x%.0s' {1..300})
  (($(state_name "$long/a" | wc -c) <= 200))
  [[ $(state_name "$long/a") != "$(state_name "$long/b")" ]]
}

@test "prepare_state: makes the directories, fails where nothing can be written" {
  prepare_state
  [[ -d $state_dir/verified && -d $state_dir/lists && -d $state_dir/claims && -d $state_dir/runs ]]
  : >"$BATS_TEST_TMPDIR/file"
  MODELS_DIR=$BATS_TEST_TMPDIR/file
  refuses prepare_state
}

@test "look_at_files and is_verified: a file counts as checked while size and time are what they were" {
  one_item 5
  prepare_state
  put_model checkpoints/a.safetensors hello
  look_at_files
  [[ ${file_size[checkpoints/a.safetensors]} == 5 ]]
  refuses is_verified 0
  remember_verified checkpoints/a.safetensors abc
  is_verified 0
  item_sha256[0]=def
  refuses is_verified 0
  item_sha256[0]=abc item_size[0]=6
  refuses is_verified 0
  item_size[0]=5
  touch -d '2001-01-01' "$MODELS_DIR/checkpoints/a.safetensors"
  look_at_files
  refuses is_verified 0
}

@test "look_at_files: the shared directory is looked at, too" {
  one_item 5
  mkdir -p "$SHARED_MODELS_DIR/checkpoints"
  printf hello >"$SHARED_MODELS_DIR/checkpoints/a.safetensors"
  look_at_files
  [[ ${shared_size[checkpoints/a.safetensors]} == 5 && -z ${file_size[checkpoints/a.safetensors]-} ]]
}

@test "remember_verified: a volume that can't be written costs nothing but the memory" {
  state_dir=/nowhere
  put_model a hello
  run remember_verified a abc
  [[ $status == 0 && -z $output ]]
}

@test "hash_of: the same with openssl and without" {
  put_model 'a b' hello
  [[ $(hash_of "$MODELS_DIR/a b") == "$(sum_of hello)" ]]
  have_openssl=''
  [[ $(hash_of "$MODELS_DIR/a b") == "$(sum_of hello)" ]]
  refuses hash_of "$MODELS_DIR/none" 2>/dev/null
}

@test "blob_hash_of: git's own" {
  put_model a hello
  [[ $(blob_hash_of "$MODELS_DIR/a") == "$(git hash-object "$MODELS_DIR/a")" ]]
}

@test "free_bytes: of the volume that the models will be on, also before the directory is there" {
  MODELS_DIR=$BATS_TEST_TMPDIR/not/yet
  (($(free_bytes) > 0))
  stand_in stat <<<'echo "10 4096"'
  [[ $(free_bytes) == 40960 ]]
}

@test "kept_bytes: whole pieces by aria2's notes; notes that make no sense are none" {
  partial=$BATS_TEST_TMPDIR/x.1.partial
  put_notes "$partial" 1048576 10485760 c040
  [[ $(kept_bytes "$partial") == $((3 * 1048576)) ]]
  put_notes "$partial" 1048576 5 80
  [[ $(kept_bytes "$partial") == 5 ]]
  put_notes "$partial" 1048576 10485760 c0
  refuses kept_bytes "$partial"
  : >"$partial.aria2"
  refuses kept_bytes "$partial"
  rm "$partial.aria2"
  refuses kept_bytes "$partial"
}

@test "partials_of: the newest claim's first, other files not at all" {
  for name in a.2.partial a.10.partial a.3.partial.curl a.x.partial a.partial b.1.partial a.2.partial.aria2; do put_model "$name" x; done
  [[ $(partials_of a | cut -d ' ' -f 1 | tr '\n' ' ') == '10 3 2 ' ]]
}

@test "is_written_here: a process that has it open for writing is seen, a reader isn't" {
  put_model a x
  refuses is_written_here "$MODELS_DIR/a"
  exec 7<"$MODELS_DIR/a"
  refuses is_written_here "$MODELS_DIR/a"
  exec 8>>"$MODELS_DIR/a"
  is_written_here "$MODELS_DIR/a"
  exec 7<&- 8>&-
}

# ---- claims.sh

@test "open_run, beat and close_run: a sign of life of fixed length that counts on, and goes at the end" {
  prepare_state
  open_run
  [[ $(cat "$state_dir/runs/$run_id") == 00000000000000000001 ]]
  beat
  [[ $(cat "$state_dir/runs/$run_id") == 00000000000000000002 ]]
  touch -d '3 days ago' "$state_dir/runs/old"
  open_run
  [[ ! -e $state_dir/runs/old ]]
  close_run
  [[ ! -e $state_dir/runs/$run_id ]]
}

@test "start_of: the same process has one start, none has none" {
  [[ $(start_of $$) =~ ^[0-9]+$ && $(start_of $$) == "$(start_of $$)" ]]
  refuses start_of 999999999
}

@test "take_claim, make_claim, highest_claim, holds_claim and release_claim: one holder, then the next" {
  prepare_state
  open_run
  take_claim a/b
  [[ $claim_number == 1 ]]
  holds_claim a/b 1
  # Another run of a living process: this one's.
  ours=$run_id
  open_run
  refuses take_claim a/b
  [[ -n $claim_holder ]]
  refuses make_claim "$state_dir/claims/a%2Fb" 1
  release_claim a/b 1
  take_claim a/b
  [[ $claim_number == 2 && $run_id != "$ours" ]]
  [[ $(highest_claim a%2Fb) == 2 ]]
  refuses holds_claim a/b 1
  # Its own claim stays its own.
  take_claim a/b
  [[ $claim_number == 2 ]]
}

@test "take_claim and drop_older_claims: who is dead is followed at once, and its claim goes" {
  prepare_state
  open_run
  mkdir -p "$state_dir/claims/a"
  read -r -a mine <<<"$own_claim"
  printf 'run pod %s %s 999999999 1\n' "${mine[2]}" "${mine[3]}" >"$state_dir/claims/a/7"
  take_claim a
  [[ $claim_number == 8 && ! -e $state_dir/claims/a/7 ]]
}

@test "take_claim: ten at once have one winner" {
  prepare_state
  for i in {1..10}; do (open_run && take_claim a && echo won >>"$BATS_TEST_TMPDIR/won") & done
  wait
  [[ $(wc -l <"$BATS_TEST_TMPDIR/won") == 1 ]]
}

@test "is_gone: a pod elsewhere lives while its counter moves, and is silent by our own clock" {
  prepare_state
  open_run
  claim='other other-pod 1-2-3 42 1 1'
  now_ms() { printf '%s' "$clock"; }
  clock=1000
  printf '%020d\n' 1 >"$state_dir/runs/other"
  refuses is_gone path "$claim"
  clock=$((1000 + MODELS_LEASE_SECONDS * 1000 - 1))
  refuses is_gone path "$claim"
  printf '%020d\n' 2 >"$state_dir/runs/other"
  clock=$((clock + 5000))
  refuses is_gone path "$claim"
  clock=$((clock + MODELS_LEASE_SECONDS * 1000))
  is_gone path "$claim"
}

@test "is_gone: a claim without words, and one without a sign of life, wait as long; the same pod's waits less" {
  prepare_state
  open_run
  now_ms() { printf '%s' "$clock"; }
  clock=0
  refuses is_gone path ''
  refuses is_gone path 'gone pod-x 1-2-3 42 1 1'
  clock=11000
  refuses is_gone path ''
  RUNPOD_POD_ID=pod-x
  is_gone path 'gone pod-x 1-2-3 42 1 1'
  clock=$((MODELS_LEASE_SECONDS * 1000))
  is_gone path ''
}

# ---- fetch.sh

@test "report_outcome and report_failure: one line each, through the pipe" {
  one_item
  open_outcomes
  report_outcome 0 right abc
  [[ $(read_outcome) == '0|right|abc' ]]
  failure 404 '' host
  report_failure 0
  [[ $(read_outcome) == '0|failed|404|host has no such file'* ]]
}

@test "start_worker and stop_transfer: a worker that is told to end takes its transfer along" {
  transfer_for_ever() {
    start_sleeper
    transfer=$sleeper
    echo "$transfer" >"$run_dir/pid"
    wait "$transfer"
  }
  start_worker transfer_for_ever
  until [[ -s $run_dir/pid ]]; do pause 0.01; done
  kill -TERM "$worker_pid"
  run wait "$worker_pid"
  refuses kill -0 "$(cat "$run_dir/pid")" 2>/dev/null
}

@test "main_is_gone: not while we are here" {
  refuses main_is_gone
}

@test "check_file: right, wrong, unreadable" {
  open_outcomes
  prepare_state
  one_item 5 "$(sum_of hello)"
  put_model checkpoints/a.safetensors hello
  check_file 0
  [[ $(read_outcome) == "0|right|$(sum_of hello)" && -s $state_dir/verified/checkpoints%2Fa.safetensors ]]
  put_model checkpoints/a.safetensors hallo
  check_file 0
  [[ $(read_outcome) == '0|wrong|'* ]]
  rm "$MODELS_DIR/checkpoints/a.safetensors"
  check_file 0 2>/dev/null || :
  [[ $(read_outcome) == '0|failed|write|'* ]]
}

# aria2 that takes the address from standard input and writes $1 to where it is told.
aria2_writes() {
  stand_in aria2c <<STAND_IN
while read -r line; do
  case \$line in
    dir=*) dir=\${line#dir=} ;;
    out=*) out=\${line#out=} ;;
    *) echo "\$line" >"$BATS_TEST_TMPDIR/aria2.url" ;;
  esac
done
$1
STAND_IN
}

@test "fetch_file: the whole way, from the address to the name" {
  one_item 5 "$(sum_of hello)"
  open_outcomes
  prepare_state
  open_run
  take_claim checkpoints/a.safetensors
  host_answers 'HTTP/2 302\nLocation: https://cdn.example/x?sig=1\n\n'
  aria2_writes 'printf hello >"$dir/$out"'
  fetch_file 0 1
  [[ $(read_outcome) == '0|verifying' ]]
  [[ $(read_outcome) == "0|done|$(sum_of hello)|5|"* ]]
  [[ $(cat "$MODELS_DIR/checkpoints/a.safetensors") == hello ]]
  [[ $(cat "$BATS_TEST_TMPDIR/aria2.url") == 'https://cdn.example/x?sig=1' ]]
  [[ $(cat "$BATS_TEST_TMPDIR/aria2c.calls") != *sig* ]]
  [[ $(cat "$BATS_TEST_TMPDIR/aria2c.calls") == *--file-allocation=none* ]]
}

@test "fetch_file: a file that another pod took over isn't put in its place" {
  one_item 5 "$(sum_of hello)"
  open_outcomes
  prepare_state
  open_run
  take_claim checkpoints/a.safetensors
  : >"$state_dir/claims/checkpoints%2Fa.safetensors/2"
  host_answers 'HTTP/2 302\nLocation: https://cdn.example/x\n\n'
  aria2_writes 'printf hello >"$dir/$out"'
  fetch_file 0 1
  [[ $(read_outcome) == '0|verifying' ]]
  [[ $(read_outcome) == '0|lost' && ! -e $MODELS_DIR/checkpoints/a.safetensors ]]
}

@test "adopt_partial and discard_partial: the newest is taken over with its notes, older ones go" {
  for number in 2 5; do put_model "a.$number.partial" "$number" && put_model "a.$number.partial.aria2" notes; done
  accepts adopt_partial a "$MODELS_DIR/a.7.partial"
  [[ $(cat "$MODELS_DIR/a.7.partial") == 5 && -e $MODELS_DIR/a.7.partial.aria2 ]]
  [[ $(partials_of a | wc -l) == 1 ]]
  discard_partial "$MODELS_DIR/a.7.partial"
  [[ -z $(ls "$MODELS_DIR") ]]
}

@test "adopt_partial: waits for whoever still writes it here, and gives up in the end" {
  put_model a.2.partial x
  pause() { :; }
  exec 8>>"$MODELS_DIR/a.2.partial"
  refuses adopt_partial a "$MODELS_DIR/a.3.partial"
  exec 8>&-
  accepts adopt_partial a "$MODELS_DIR/a.3.partial"
}

@test "resumable_bytes: by notes, by curl's size, else nothing is kept" {
  partial=$MODELS_DIR/a.1.partial
  [[ $(resumable_bytes "$partial" a) == 0 ]]
  put_model a.1.partial xxxx
  put_notes "$partial" 1048576 4 80
  [[ $(resumable_bytes "$partial" a) == 4 ]]
  rm "$partial.aria2"
  [[ $(resumable_bytes "$partial" a) == 0 && ! -e $partial ]]
  put_model a.1.partial.curl xxx
  [[ $(resumable_bytes "$partial" a) == 3 ]]
}

@test "transfer_file and read_transfer_error: each error of aria2 has its kind; some are tried again, some not" {
  one_item 5
  run_case() {
    rm -f "$BATS_TEST_TMPDIR/aria2c.calls"
    host_answers 'HTTP/2 302\nLocation: https://cdn.example/x?sig=1\n\n'
    aria2_writes "echo '$1'; exit $2"
    refuses transfer_file 0 "$MODELS_DIR/a.1.partial"
    echo "$1 $2: $failure_kind, $(wc -l <"$BATS_TEST_TMPDIR/aria2c.calls") times"
    [[ $failure_kind == "$3" && $(wc -l <"$BATS_TEST_TMPDIR/aria2c.calls") == "$4" ]]
  }
  run_case 'cause: No space left on device' 9 full 1
  run_case 'cause: Disk quota exceeded' 1 full 1
  run_case 'cause: Permission denied' 16 write 1
  run_case 'Resource not found' 3 404 1
  run_case 'status=403' 22 403 "$most_failures"
  run_case 'status=429' 22 429 "$most_failures"
  run_case 'status=500' 22 status "$most_failures"
  run_case '' 2 cut "$most_failures"
  run_case 'Failed to establish connection' 1 unreachable "$most_failures"
  run_case 'Invalid range header' 8 cut "$most_failures"
  run_case 'what is this' 77 cut "$most_failures"
}

@test "compare_with_list: another size or hash is refused before anything is fetched" {
  one_item 5 "$(sum_of hello)"
  source_url=https://cdn.example/x source_size=5 source_sha256=$(sum_of hello)
  compare_with_list 0
  source_size=6
  refuses compare_with_list 0
  source_size='' source_sha256=$(sum_of other)
  refuses compare_with_list 0
  [[ $failure_kind == size ]]
}

@test "is_public: asked without the token" {
  hf_token=hf_secret source_url=https://huggingface.co/x
  host_answers 'HTTP/2 206\n\n'
  is_public
  host_answers 'HTTP/2 401\n\n'
  refuses is_public
  [[ $(cat "$BATS_TEST_TMPDIR/curl.stdin") != *hf_secret* && $hf_token == hf_secret ]]
}

@test "rescue_notes: notes that a full disk has emptied are put back from the copy, into the room kept for them" {
  prepare_state
  open_run
  partial=$MODELS_DIR/a.1.partial
  : >"$partial"
  put_notes "$partial" 1048576 4 80
  mv "$partial.aria2" "$run_dir/notes.0"
  : >"$partial.aria2"
  : >"$state_dir/runs/$run_id.reserve"
  rescue_notes "$partial" 0
  [[ $(kept_bytes "$partial") == 4 && ! -e $state_dir/runs/$run_id.reserve ]]
}

@test "transfer_with_aria2 and transfer_with_curl: no address and no token in their arguments" {
  hf_token=hf_secret source_url='https://huggingface.co/x?sig=1'
  aria2_writes 'exit 0'
  transfer_with_aria2 "$MODELS_DIR/a.1.partial" 0
  host_answers ''
  run transfer_with_curl "$MODELS_DIR/a.1.partial" 0
  [[ $(cat "$BATS_TEST_TMPDIR"/*.calls) != *sig=1* && $(cat "$BATS_TEST_TMPDIR"/*.calls) != *hf_secret* ]]
  [[ $(cat "$BATS_TEST_TMPDIR/curl.stdin") == *hf_secret* ]]
  [[ $(cat "$BATS_TEST_TMPDIR/aria2.url") == *sig=1* ]]
  [[ $(cat "$BATS_TEST_TMPDIR/curl.calls") != *--location* ]]
}

@test "verify_partial: size, page and hash" {
  one_item 5 "$(sum_of hello)"
  source_url=https://cdn.example/x source_size='' source_sha256='' source_blob=''
  partial=$MODELS_DIR/a.1.partial
  put_model a.1.partial hello
  verify_partial 0 "$partial"
  [[ $verified_hash == "$(sum_of hello)" && $verified_size == 5 ]]
  put_model a.1.partial hallo
  refuses verify_partial 0 "$partial"
  [[ $failure_kind == hash ]]
  put_model a.1.partial hell
  refuses verify_partial 0 "$partial"
  item_size[0]='' item_sha256[0]=''
  put_model a.1.partial $'\n <!DOCTYPE HTML><html>'
  refuses verify_partial 0 "$partial"
  [[ $failure_kind == html ]]
  put_model a.1.partial hello
  source_blob=$(printf 'c%.0s' {1..40})
  refuses verify_partial 0 "$partial"
  source_blob=$(blob_hash_of "$partial")
  verify_partial 0 "$partial"
}

# ---- plan.sh

@test "add_item: a file that two toggles want is one item" {
  one_item
  add_item ENABLE_B checkpoints/a.safetensors '' '' '' 0 hf o r f
  add_item ENABLE_B checkpoints/a.safetensors '' '' '' 0 hf o r f
  [[ ${#item_to[@]} == 1 && ${item_toggles[0]} == 'ENABLE_A ENABLE_B' ]]
}

@test "read_wants, read_file_line: what the toggles name becomes items, with what is pinned" {
  export ENABLE_ZIMAGE=true ENABLE_CONTROLNET=maybe
  run_wants=$(read_wants)
  [[ $run_wants == *'ENABLE_CONTROLNET is skipped'* ]]
  read_wants >/dev/null
  [[ ${#item_to[@]} == 3 && ${item_to[2]} == vae/ae.safetensors && ${item_pinned[*]} == '0 0 1' && ${#problems[@]} == 1 ]]
  read_file_line ENABLE_X "x/y${US}5${US}${US}${US}civitai${US}42"
  [[ ${item_kind[3]} == civitai && ${item_version[3]} == 42 && ${item_pinned[3]} == 0 ]]
}

@test "read_snapshot_line, keep_lists and kept_list: asked for once, known from then on" {
  prepare_state
  host_answers 'HTTP/2 200\n\n[{"type":"file","path":"a.bin","size":5}]'
  read_snapshot_line ENABLE_A "voice/x${US}${US}o/r${US}main"
  [[ ${item_to[0]} == voice/x/a.bin && ${item_size[0]} == 5 ]]
  keep_lists
  [[ $(kept_list voice/x 'o/r main') == "5${US}${US}a.bin" ]]
  refuses kept_list voice/x 'o/r other'
  item_to=() item_at=()
  host_answers 'HTTP/2 500\n\n'
  read_snapshot_line ENABLE_A "voice/x${US}${US}o/r${US}main"
  [[ ${item_to[0]} == voice/x/a.bin && ${#problems[@]} == 0 ]]
}

@test "read_lora_line, tell_failure and take_failure: a version that isn't there is a problem of its toggle" {
  prepare_state
  host_answers 'HTTP/2 200\n\n{"files":[{"name":"s.safetensors","sizeKB":1}]}'
  read_lora_line ENABLE_CIVITAI "loras${US}42"
  [[ ${item_to[0]} == loras/s.safetensors && ${item_size[0]} == 1024 ]]
  host_answers 'HTTP/2 404\n\n'
  read_lora_line ENABLE_CIVITAI "loras${US}43" >"$run_dir/said"
  [[ ${problems[0]} == "ENABLE_CIVITAI${US}CivitAI's version 43: "*404* && $(cat "$run_dir/said") == *"can't be listed"* ]]
}

@test "classify_items: there, to be checked, missing, of another size, of unknown size" {
  prepare_state
  for i in 0 1 2 3 4; do add_item ENABLE_A "x/$i" 5 '' '' 0 hf o r f; done
  item_size[4]=''
  for i in 0 1 3 4; do put_model "x/$i" hello; done
  put_model x/3 longer
  remember_verified x/0 abc
  classify_items
  [[ ${item_state[*]} == 'there check missing missing unsure' ]]
}

@test "ask_unknown_items, ask_item and take_answer: sizes that the list doesn't hold are asked for, and failures kept" {
  one_item
  item_state[0]=missing
  host_answers "HTTP/2 302\nLocation: https://cdn.example/x\nX-Linked-Size: 7\nX-Linked-ETag: $(sum_of x)\n\n"
  ask_unknown_items
  [[ ${item_size[0]} == 7 && ${item_sha256[0]} == "$(sum_of x)" && ${item_state[0]} == missing ]]
  item_size[0]=''
  host_answers 'HTTP/2 404\n\n'
  ask_unknown_items
  [[ ${item_state[0]} == failed && ${item_reason[0]} == *404* ]]
  item_state[0]=unsure
  ask_unknown_items >"$run_dir/said"
  [[ ${item_state[0]} == there && $(cat "$run_dir/said") == *"can't be checked now"* ]]
  item_state[0]=unsure file_size[checkpoints/a.safetensors]=9
  printf 'ok%s7%sabc\n' "$US" "$US" >"$run_dir/asked.0"
  take_answer 0
  [[ ${item_state[0]} == missing ]]
  [[ $(host_answers 'HTTP/2 404\n\n'; ask_item 0) == 404* ]]
}

@test "needed_bytes: without what is kept already" {
  one_item 1000000
  [[ $(needed_bytes 0) == 1000000 ]]
  mkdir -p "$MODELS_DIR/checkpoints"
  head -c 500000 /dev/urandom >"$MODELS_DIR/checkpoints/a.safetensors.1.partial"
  sync "$MODELS_DIR/checkpoints/a.safetensors.1.partial"
  (($(needed_bytes 0) < 600000 && $(needed_bytes 0) > 400000))
}

@test "check_room: toggles that fit are kept whole, in order; a shared file counts once" {
  free_bytes() { echo 100; }
  add_item ENABLE_A shared 40 '' '' 0 hf o r f
  add_item ENABLE_B shared 40 '' '' 0 hf o r f
  add_item ENABLE_A a 30 '' '' 0 hf o r f
  add_item ENABLE_B b 50 '' '' 0 hf o r f
  add_item ENABLE_C c 30 '' '' 0 hf o r f
  item_state=(missing missing missing missing)
  check_room >"$run_dir/said"
  [[ ${item_state[*]} == 'missing missing failed missing' && ${item_reason[2]} == *ENABLE_B* ]]
  [[ $(cat "$run_dir/said") == *'ENABLE_B is skipped'* ]]
}

@test "show_plan, planned_size, pinned_word and source_name: what, how big, from where" {
  one_item 5000000
  add_item ENABLE_B loras/b '' '' 2000000 0 civitai 42
  item_state=(missing missing)
  item_pinned[0]=1
  run show_plan
  [[ $output == *'5 MB  checkpoints/a.safetensors  from owner/repo'$'\n'* ]]
  [[ $output == *'~2 MB  loras/b  from CivitAI, version 42 (unpinned)'* && $output == *'2 files of 7 MB would be fetched'* ]]
  item_about[1]=''
  [[ $(planned_size 1) == unknown && -z $(pinned_word 0) && $(source_name 0) == owner/repo ]]
}

# ---- run.sh

# Items whose worker says what the test wants.
instant_worker() {
  fetch_file() { report_outcome "$1" "${say_outcome[@]}"; }
}

@test "run_queue, start_workers, start_fetch, hear_outcomes: every item ends as fetched or failed" {
  instant_worker
  prepare_state
  for i in 0 1 2 3 4 5; do add_item ENABLE_A "x/$i" 5 '' '' 0 hf o r f && item_state[i]=missing; done
  say_outcome=(failed 404 'There is none.')
  run_queue >"$run_dir/said"
  [[ ${item_state[*]} == 'failed failed failed failed failed failed' && ${item_reason[0]} == 'There is none.' ]]
  [[ -z $(ls "$state_dir/runs") && -e $state_dir/claims/x%2F0/1.free ]]
}

@test "run_queue and fail_queue: a volume that can't be written fails what is to be fetched" {
  one_item 5
  item_state[0]=missing state_dir=/nowhere
  run_queue >"$run_dir/said"
  [[ ${item_state[0]} == failed && ${item_reason[0]} == *"can't be written"* ]]
}

@test "start_fetch and arrived_meanwhile: what another pod has finished needn't be fetched" {
  prepare_state
  open_run
  one_item 5
  refuses arrived_meanwhile 0
  put_model checkpoints/a.safetensors hello
  remember_verified checkpoints/a.safetensors abc
  start_fetch 0 >"$run_dir/said"
  [[ ${item_state[0]} == there && $(cat "$run_dir/said") == *'another pod has fetched it'* && ${#worker[@]} == 0 ]]
}

@test "read_line: nothing is lost of a line that comes in two parts" {
  open_outcomes
  refuses read_line 0.01
  printf 'one ' >&"$outcomes"
  (sleep 0.2 && printf 'two\nthree\n' >&"$outcomes") &
  read_line 0.05
  [[ $line == 'one two' ]]
  read_line 1
  [[ $line == three ]]
}

@test "hear_outcomes: a worker that was killed without a word is a failure, not a wait for ever" {
  prepare_state
  open_outcomes
  one_item 5
  item_state[0]=missing tick_seconds=0.05
  (exit 0) &
  worker[0]=$! worker_claim[0]=0
  wait "$!"
  hear_outcomes >"$run_dir/said"
  [[ ${item_state[0]} == failed && ${item_reason[0]} == *'was killed'* ]]
}

@test "take_outcome, done_words and hash_words: each outcome is told once, and what is wrong or lost is queued again" {
  prepare_state
  one_item 5 "$(sum_of hello)"
  outcome_of() {
    worker[0]=$$ worker_claim[0]=0 item_state[0]=missing queue=()
    accepts take_outcome "0$US$$$US$1" >"$run_dir/said"
    [[ ${#worker[@]} == 0 && ${#verifying[@]} == 0 ]]
  }
  worker[0]=1
  take_outcome "0${US}1${US}verifying"
  [[ ${verifying[0]} == 1 && ${#worker[@]} == 1 ]]
  outcome_of "done${US}abc${US}5000000${US}2000"
  [[ ${item_state[0]} == fetched && $fetched_bytes == 5000000 && $(cat "$run_dir/said") == *'2 s (2 MB/s), unpinned: its SHA-256 is abc' ]]
  outcome_of "right${US}abc"
  [[ ${item_state[0]} == there ]]
  outcome_of "wrong${US}abc"
  [[ ${item_state[0]} == missing && ${queue[*]} == 0 && $(cat "$run_dir/said") == *'fetched anew'* ]]
  outcome_of lost
  [[ ${queue[*]} == 0 ]]
  outcome_of "failed${US}404${US}Because."
  [[ ${item_state[0]} == failed && ${item_reason[0]} == Because. ]]
  item_pinned[0]=1
  [[ $(hash_words 0) == ', SHA-256 right' && -z $(item_pinned[0]=1; done_words 0 5 10 | grep MB) ]]
  # What nobody waits for any more is passed over.
  worker[0]=2
  take_outcome "0${US}1${US}done${US}abc${US}5${US}5"
  [[ ${item_state[0]} == failed ]]
}

@test "tick and restart_workers: after standing still for long, nothing writes on, and everything is claimed anew" {
  prepare_state
  open_run
  one_item 5
  start_sleeper
  worker[0]=$sleeper worker_claim[0]=1
  last_beat=$(($(now_ms) - MODELS_LEASE_SECONDS * 1000)) progress_at=$(now_ms)
  child=${worker[0]}
  tick >"$run_dir/said" || :
  refuses kill -0 "$child" 2>/dev/null
  [[ ${#worker[@]} == 0 && ${queue[*]} == 0 && $(cat "$run_dir/said") == *'stood still'* ]]
  (($(now_ms) - last_beat < 5000))
}

@test "keep_worker and stop_worker: a file that was taken over is let go; notes of others are copied" {
  prepare_state
  open_run
  one_item 5
  take_claim checkpoints/a.safetensors
  put_model checkpoints/a.safetensors.1.partial.aria2 notes
  start_sleeper
  worker[0]=$sleeper worker_claim[0]=1
  keep_worker 0
  [[ $(cat "$run_dir/notes.0") == notes && ${#worker[@]} == 1 ]]
  : >"$state_dir/claims/checkpoints%2Fa.safetensors/2"
  keep_worker 0 >"$run_dir/said" || :
  [[ ${#worker[@]} == 0 && ${queue[*]} == 0 ]]
}

@test "show_progress and read_transfer_progress: files, bytes, speed and time left on one line" {
  one_item 10000000
  item_state[0]=missing worker[0]=1
  printf ' *** Summary\n[#abc123 4000000B/10000000B(40%%) CN:8 DL:2000000B ETA:3s]\nFILE: x\n' >"$run_dir/transfer.0"
  read_transfer_progress 0
  [[ $progress_bytes == 4000000 && $progress_speed == 2000000 ]]
  [[ $(show_progress) == '[models] 0 of 1 file, 4 MB of 10 MB (40 %), 2 MB/s, about 4 s left' ]]
  verifying[0]=1
  [[ $(show_progress) == *'10 MB of 10 MB (100 %)' ]]
  item_state[0]=check
  [[ $(show_progress) == *'checking 1 file'* ]]
}

@test "stop_run: workers end, claims are free for others, the sign of life goes" {
  prepare_state
  open_run
  one_item 5
  take_claim checkpoints/a.safetensors
  start_sleeper
  worker[0]=$sleeper worker_claim[0]=1
  child=${worker[0]}
  stop_run >"$run_dir/said" || :
  refuses kill -0 "$child" 2>/dev/null
  [[ -e $state_dir/claims/checkpoints%2Fa.safetensors/1.free && ! -e $state_dir/runs/$run_id ]]
  [[ $(cat "$run_dir/said") == *'what came is kept'* ]]
}

@test "show_summary and fetched_words: what is there, what is missing and why, how long, how fast" {
  started_at=$(($(now_ms) - 10000)) fetched_bytes=50000000
  one_item 5
  add_item ENABLE_B b 5 '' '' 0 hf o r f
  item_state=(fetched failed)
  item_reason[1]='There is none.'
  problems=("ENABLE_C${US}It is wrong")
  run show_summary
  echo "$output"
  [[ $status == 3 && $output == *'1 of 2 files are there, 1 of them fetched now: 50 MB in 10 s ('*'MB/s).'* ]]
  [[ $output == *'missing: b (ENABLE_B): There is none.'* && $output == *'skipped: ENABLE_C: It is wrong'* ]]
  [[ -z $(fetched_words 0 5) ]]
  item_state=(there there) problems=()
  run show_summary
  [[ $status == 0 ]]
}

# ---- lock.sh

@test "lock_manifest, lock_revisions, lock_snapshots, lock_files, look_up_entry, write_entry, edit_list: from null to numbers" {
  MODELS_MANIFEST=$BATS_TEST_TMPDIR/list.json
  printf '%s' '{"format":1,"repos":{"r":{"repo":"o/r","revision":"main"}},"files":{"a":{"repo":"r","file":"a.bin","to":"x/a","size":null,"sha256":null,"about":5}},"snapshots":{"s":{"repo":"r","to":"x/s","files":null}},"civitai":{},"toggles":[]}' >"$MODELS_MANIFEST"
  commit=$(printf 'd%.0s' {1..40}) hash=$(sum_of x)
  host_answers "HTTP/2 200\n\n{\"sha\":\"$commit\"}" \
    "HTTP/2 200\n\n[{\"type\":\"file\",\"path\":\"m.bin\",\"size\":1,\"lfs\":{\"oid\":\"$hash\",\"size\":9}}]" \
    "HTTP/2 302\nLocation: https://cdn.example/x\nX-Linked-Size: 7\nX-Linked-ETag: $hash\n\n"
  lock_manifest
  jq -e --arg commit "$commit" --arg hash "$hash" '.repos.r.revision == $commit
    and .files.a == {repo: "r", file: "a.bin", to: "x/a", size: 7, sha256: $hash}
    and .snapshots.s.files == [{file: "m.bin", size: 9, sha256: $hash}]' "$MODELS_MANIFEST"
}

@test "lock_failed and hash_small_file: what can't be had is told; a small file is hashed here" {
  failure 404 '' host
  run lock_failed a hf o/r
  [[ $status == 1 && $output == *'a: host has no such file'* ]]
  printf hello >"$run_dir/hello"
  source_url=https://huggingface.co/x source_size=5 source_sha256='' source_blob=$(blob_hash_of "$run_dir/hello")
  stand_in curl <<<"cat >/dev/null; printf hello >'$run_dir/small'"
  hash_small_file
  [[ $source_sha256 == "$(sum_of hello)" && $source_size == 5 ]]
  source_blob=$(printf 'c%.0s' {1..40})
  refuses hash_small_file
}

# ---- download_models.sh

@test "main: help and wrong usage" {
  run main --help
  [[ $status == 0 && $output == *'--lock'* && $output == *'Exit code'* ]]
  run main --nonsense
  [[ $status == 2 ]]
}

@test "main and fetch_models: nothing asked for is nothing done, and no temporary directory is left" {
  run main
  [[ $status == 0 && $output == *'no models are asked for'* ]]
  [[ -z $(ls -A "$MODELS_DIR") ]]
}

@test "check_tools: what is missing is named with its package" {
  for tool in jq curl aria2c; do stand_in "$tool" </dev/null; done
  check_tools
  PATH=$BATS_TEST_TMPDIR/none run check_tools
  [[ $status == 2 && $output == *"jq isn't installed"* ]]
}

@test "make_run_dir: for our own eyes, and not on the volume" {
  trap - TERM INT HUP
  make_run_dir
  [[ $(stat -c %a "$run_dir") == 700 && $run_dir == /tmp/* ]]
  rm -rf "$run_dir"
  trap - TERM INT HUP
}

@test "anything_to_do, announce and refuse_all: said before anything is fetched" {
  one_item 5
  item_state[0]=there
  refuses anything_to_do
  item_state[0]=missing room_needed=5000000 room_free=10000000
  anything_to_do
  run announce
  [[ $output == *'1 file to fetch, 5 MB, into '*'(10 MB free)'* && $output == *'1 of them unpinned'* ]]
  echo 'mkdir: no' >"$run_dir/mkdir"
  refuse_all >"$run_dir/said"
  [[ ${item_state[0]} == failed && $(cat "$run_dir/said") == *"can't be written (mkdir: no)"* ]]
}
