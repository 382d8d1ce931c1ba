// Makes what people read about settings: docs/configuration.md (written by scripts/docs.ts) and the settings part of
// `--help`. Facts come from the table; here are only the words around them.
import { namesOf, settings } from './names.ts';
import { groups, type Setting } from './setting.ts';

const introduction = `# Configuration

<!-- Made by \`npm run docs\` from src/config/table.ts. Change it there. -->

r2-sync is told everything by environment variables: on RunPod in the template ("Environment Variables"), with Docker by
\`-e NAME=VALUE\` or a compose file. Four of them are all it takes:

\`\`\`
ENABLE_R2_SYNC=true
R2_ENDPOINT=https://<account id>.r2.cloudflarestorage.com/my-pictures
R2_ACCESS_KEY={{ RUNPOD_SECRET_R2_ACCESS_KEY }}
R2_SECRET_KEY={{ RUNPOD_SECRET_R2_SECRET_KEY }}
\`\`\`

1. In Cloudflare's dashboard make a bucket (R2, Create bucket). Its settings show the S3 API address: that is
   \`R2_ENDPOINT\`, and with the bucket at its end \`R2_BUCKET\` needn't be set.
2. Make a token: R2, Manage API tokens, permission "Object Read & Write", only this bucket. You get an Access Key ID and
   a Secret Access Key.
3. In RunPod's console make two secrets, \`R2_ACCESS_KEY\` and \`R2_SECRET_KEY\`, and use them in the template as above. So
   the keys are in no template that you share.

Then start a pod. What ComfyUI finishes is in the bucket moments later. If something is wrong, ComfyUI runs all the same,
and the log and the status page name every mistake at once, with what to do.

## Changing a setting on a running pod

**Don't edit the variables of a RunPod pod while files wait on it: that resets its container disk and erases them.**
Instead, on the pod (web terminal or SSH):

\`\`\`
r2-sync config set R2_BUCKET=other-bucket     # takes effect in a few seconds, no restart
r2-sync config set R2_SECRET_KEY              # asks for the value: it stays out of the shell's history
r2-sync config set R2_BUCKET=                 # forgets it: the pod's own variable counts again
\`\`\`

This lasts as long as the container. Put it right in the template as well, for the next pod.

## Which value counts

From the strongest to the weakest:

1. what \`r2-sync config set\` was told (the file \`set\` in \`R2_RUN_DIR\`);
2. the environment of the command;
3. the container's variables as the start script kept them (the file \`env\` in \`R2_RUN_DIR\`), so that \`r2-sync\` works in
   an SSH shell, which doesn't inherit them;
4. the default.

Files 1 and 3 are refused if somebody else could write them.

## How values are read

- Empty means unset. Blanks and quotes around a value are taken off: \`"runpod" \` is \`runpod\`.
- True is \`true\`, \`1\`, \`yes\` or \`on\`; false is \`false\`, \`0\`, \`no\` or \`off\`; in upper or lower case.
- An \`R2_\` name that isn't listed here gets a warning with the nearest one that is.
- A \`{{ RUNPOD_SECRET_x }}\` that RunPod didn't replace is an error: there is no secret of that name.
- \`http://\` is refused except for a store on this machine (\`localhost\`, \`127.0.0.1\`, \`[::1]\`).

## Secrets in files

Add \`_FILE\` to any name to have its value read from a file: \`R2_SECRET_KEY_FILE=/run/secrets/r2\` (Docker and Kubernetes
secrets come that way). It takes the full path of a file on the container's own disk. Blanks and line ends around the
value don't matter. If both \`NAME\` and \`NAME_FILE\` are set in the same place, the file is used, with a warning. When the
file changes, the new value is used without a restart. Secrets (marked 🔒) appear in no log, page, object or error text.
`;

/** The text of docs/configuration.md. */
export function configurationPage(): string {
  const sections = groupList().map(([title, members]) => {
    const rows = members.map((setting) => {
      const names = namesOf(setting).map(code).join(' or ');
      const cells = [`${names}${setting.secret ? ' 🔒' : ''}`, defaultCell(setting), meaningCell(setting)];
      return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
    });
    return [`## ${title}`, '', '| setting | default | what it does |', '| --- | --- | --- |', ...rows, ''].join('\n');
  });
  return [introduction, ...sections].join('\n');
}

/** The settings part of `--help`: names, defaults and one sentence each, for a terminal of 100 columns. */
export function settingsHelp(): string {
  const sections = groupList().map(([title, members]) => {
    const entries = members.map((setting) => {
      const head = `  ${namesOf(setting).join(', ')}${defaultHelp(setting)}`;
      return [wrap(head, 4), wrap(`      ${plain(firstSentence(setting.doc))}`, 6)].join('\n');
    });
    return [`${title}:`, ...entries].join('\n');
  });
  const closing = `Settings are environment variables. NAME_FILE reads one from a file. On a running pod,
"r2-sync config set NAME=VALUE" changes one; editing a RunPod pod's variables resets its
container disk. All about them: docs/configuration.md`;
  return [...sections, closing].join('\n\n');
}

function groupList(): [title: string, members: Setting[]][] {
  return Object.entries(groups).map(([group, title]) => [title, settings.filter((setting) => setting.group === group)]);
}

function defaultCell(setting: Setting): string {
  if (setting.required) return '**needed**';
  if (setting.default === undefined) return setting.defaultText ?? '';
  // A browser breaks a long list only where there are blanks.
  return `${code(setting.default.replaceAll(',', ', '))}${setting.unit ? ` ${setting.unit}` : ''}`;
}

function meaningCell(setting: Setting): string {
  const unit = setting.unit && setting.default === undefined ? `, in ${setting.unit}` : '';
  return `${setting.doc} *Must be ${setting.expects}${unit}.* Example: ${code(setting.example)}`;
}

function defaultHelp(setting: Setting): string {
  if (setting.required) return ' (needed)';
  const text = setting.default?.replaceAll(',', ' ') ?? plain(setting.defaultText ?? '');
  return ` (${text}${setting.default !== undefined && setting.unit ? ` ${setting.unit}` : ''})`;
}

function firstSentence(doc: string): string {
  return /^.*?\.(?= |$)/.exec(doc)?.[0] ?? doc;
}

const columns = 92;

/** Breaks a line at blanks; lines after the first are indented. */
function wrap(text: string, indent: number): string {
  const lines: string[] = [];
  let line = text;
  while (line.length > columns) {
    const at = line.lastIndexOf(' ', columns);
    if (at <= indent) break;
    lines.push(line.slice(0, at));
    line = ' '.repeat(indent) + line.slice(at + 1);
  }
  return [...lines, line].join('\n');
}

function code(text: string): string {
  return `\`${text}\``;
}

function plain(text: string): string {
  return text.replaceAll('`', '');
}
