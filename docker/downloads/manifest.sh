# What is to be there: reads docker/models.json and the toggles in the environment.
# shellcheck shell=bash disable=SC2034,SC2154 # variables are shared among the parts

# Separates fields on a line. A tab wouldn't do: `read` takes several for one, and fields may be empty.
readonly US=$'\x1f'

# Says what is wrong with the list, line by line; nothing if it is usable.
manifest_problems() {
  jq -r '
    def safe: type == "string" and length > 0 and (test("[\\x00-\\x1f\\\\]") | not)
      and (split("/") | all(. != "" and . != "." and . != ".."));
    def sum: . == null or (type == "string" and test("^[0-9a-f]{64}$"));
    def bytes: . == null or (type == "number" and . >= 0 and . == floor);
    if .format != 1 then "its format is \(.format), and this script reads format 1" else
      . as $list
      | ((.files // {}) + (.snapshots // {}) + (.civitai // {})) as $things
      | ($things | to_entries[] | .key as $id | .value
          | (select(.to | safe | not) | "\($id): \"to\" isn'"'"'t a path below the models directory"),
            (select(.version == null and $list.repos[.repo // ""] == null) | "\($id): its repo isn'"'"'t in \"repos\""),
            (select((.sha256 | sum | not) or (.size | bytes | not)) | "\($id): its size or sha256 isn'"'"'t one")),
        (.files | to_entries[] | select(.value.file | safe | not) | "\(.key): \"file\" isn'"'"'t a path"),
        ([$things[].to] | group_by(.)[] | select(length > 1) | "two entries go to \(.[0])"),
        (.toggles[] | .name as $name
          | (.fetches, (.extras // [] | .[].fetches), (.choice.values // {} | .[])) | .[]
          | select($things[.] == null) | "\($name): there is no entry \(.)")
    end' "$MODELS_MANIFEST"
}

check_manifest() {
  local problems
  if [[ ! -r $MODELS_MANIFEST ]]; then
    warn "The list of models, $(printable "$MODELS_MANIFEST"), can't be read. Is MODELS_MANIFEST right?"
    return 2
  fi
  if ! problems=$(manifest_problems 2>&1); then
    warn "The list of models, $(printable "$MODELS_MANIFEST"), isn't in order: $(printable "${problems%%$'\n'*}")"
    return 2
  fi
  if [[ -n $problems ]]; then
    warn "The list of models, $(printable "$MODELS_MANIFEST"), isn't in order:"
    while IFS= read -r line; do warn "  $(printable "$line")"; done <<<"$problems"
    return 2
  fi
}

# What the environment asks for, a line each, fields separated by US:
#   error TOGGLE TEXT                         this toggle is skipped
#   note TOGGLE TEXT
#   file TOGGLE TO SIZE SHA256 ABOUT hf REPO REVISION FILE | file TOGGLE TO SIZE SHA256 ABOUT civitai VERSION
#   snapshot TOGGLE TO ABOUT REPO REVISION    files are to be listed by Hugging Face
#   lora TOGGLE DIRECTORY VERSION             its name is to be asked of CivitAI
wanted_lines() {
  jq -r --arg US "$US" --arg tier "${GPU_TIER,,}" '
    def clean: gsub("^\\s+|\\s+$"; "") | if test("^\"[^\"]*\"$|^'"'[^']*'"'$") then .[1:-1] else . end;
    def setting($name): $ENV[$name] // "" | clean;
    def truth: ascii_downcase
      | if IN("true", "1", "yes", "on") then true elif IN("", "false", "0", "no", "off") then false else null end;
    def line: map(. // "" | tostring) | join($US);
    . as $list
    | def emit($toggle): . as $id
        | if $list.files[$id] then $list.files[$id] | $list.repos[.repo] as $from
            | ["file", $toggle, .to, .size, .sha256, .about, "hf", $from.repo, $from.revision, .file]
          elif $list.civitai[$id] then $list.civitai[$id]
            | ["file", $toggle, .to, .size, .sha256, .about, "civitai", .version]
          else $list.snapshots[$id] | . as $snapshot | $list.repos[.repo] as $from
            | if .files then .files[]
                | ["file", $toggle, "\($snapshot.to)/\(.file)", .size, .sha256, null, "hf", $from.repo, $from.revision, .file]
              else ["snapshot", $toggle, .to, .about, $from.repo, $from.revision] end
          end;
      def choices($toggle; $choice): (setting($choice.name) | if . == "" then $choice.default else . end) as $text
        | (if $choice.many then $text | split(",") | map(clean) | map(select(. != "")) else [$text] end)[]
        | . as $value
        | first(($choice.values | keys_unsorted[] | select(ascii_downcase == ($value | ascii_downcase))), null)
        | if . then {value: .} else {error: $value} end;
      def ids($toggle; $ids): setting($ids.name) | split(",")[] | clean | select(. != "")
        | if test("^[0-9]{1,12}$") then ["lora", $toggle, $ids.to, .]
          else ["error", $toggle, "\($ids.name) has \"\(.)\", which isn'"'"'t the number of a version: the number is the one behind modelVersionId= in the address of the page"]
          end;
      .toggles[] | .name as $name | setting($name) as $text
      | ($text | truth) as $on
      | if $on == null then ["error", $name, "\($name)=\($text) must be true or false"]
        elif $on | not then empty
        elif .tier == "datacenter" and ($tier | IN("datacenter", "auto", "") | not) then
          ["error", $name, "\($name) is for GPUs with 48 GB or more, and this pod'"'"'s tier is \($tier). GPU_TIER=datacenter fetches it all the same"]
        else
          [if .choice then choices($name; .choice) else empty end] as $chosen
          | [$chosen[] | select(.error) | .error] as $unknown
          | if ($unknown | length) > 0 then
              ["error", $name, "\(.choice.name) knows no \($unknown | join(", ")): it can be \(.choice.values | keys_unsorted | join(", "))"]
            elif .ids and setting(.ids.name) == "" then
              ["error", $name, "\($name) fetches what \(.ids.name) names, which is unset"]
            else
              (if .experimental then ["note", $name, "\($name) is experimental: the image has no node for these files, so ComfyUI can'"'"'t use them until you install one"] else empty end),
              (.fetches[] | emit($name)),
              (.choice as $choice | $chosen[] | $choice.values[.value][] | emit($name)),
              (.extras // [] | .[] | select(setting(.name) | truth) | .fetches[] | emit($name)),
              (if .ids then ids($name; .ids) else empty end)
            end
        end
      | line' "$MODELS_MANIFEST"
}

# Names in the environment that look like toggles and are none, and extras that nothing uses.
stray_lines() {
  jq -r --arg US "$US" '
    def truth: gsub("[\\s\"]"; "") | ascii_downcase | IN("true", "1", "yes", "on");
    . as $list | [.toggles[].name] as $toggles | [.toggles[].extras // [] | .[].name] as $extras
    | ($ENV | keys[] | select(test("^(ENABLE_|WAN_)")) | select(IN("ENABLE_R2_SYNC") | not)
        | select($ENV[.] | truth) | . as $name | select(($toggles + $extras | index($name)) == null)
        | "note\($US)\(.)\($US)\(.) is no toggle that I know: docs/models.md lists them"),
      ($extras | unique[] | . as $extra | select($ENV[.] // "" | truth)
        | [$list.toggles[] | select([.extras // [] | .[].name] | index($extra)) | .name] as $users
        | select($users | all($ENV[.] // "" | truth | not))
        | "note\($US)\(.)\($US)\(.) alone fetches nothing: it goes with \($users | join(" or "))")
    ' "$MODELS_MANIFEST"
}
