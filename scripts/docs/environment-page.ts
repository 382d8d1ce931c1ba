// Makes docs/environment.md: every variable that the image understands, from docker/settings.json, docker/models.json and
// the agent's own table.
import { readFileSync } from 'node:fs';
import { settings as agentSettings, namesOf } from '../../src/config/names.ts';
import { groups as agentGroups } from '../../src/config/setting.ts';
import { defaultFiles, type ModelList, type Toggle, togglesOf } from './model-list.ts';

export interface ImageSetting {
  name: string;
  default: string;
  group: string;
  secret?: boolean;
  values?: string[];
  doc: string;
}

/** The parts of the page, in order. A group of docker/settings.json that isn't here comes at the end under its own name. */
const groups: Record<string, string> = {
  storage: 'Where things are',
  gpu: 'GPU',
  comfyui: 'ComfyUI',
  user: 'Users',
  access: 'Ways into the pod',
  downloads: 'Downloads of models',
};

const introduction = `# All variables

<!-- Made by \`npm run docs\` from docker/settings.json, docker/models.json and src/config/table.ts. Change it there. -->

Every environment variable of the image \`hearmeman-extended\`: on RunPod in the template ("Environment Variables"), with
Docker by \`-e NAME=VALUE\`, an env file or a compose file. None of them is needed: with nothing set, ComfyUI starts with
flags that fit the GPU, and without models.

- Empty means unset. Blanks and quotes around a value are taken off. True is \`true\`, \`1\`, \`yes\` or \`on\`, in upper or lower
  case.
- A value that isn't understood is told in the log with what is used in its place.
- Secrets (🔒) may be read from a file: \`HF_TOKEN_FILE=/run/secrets/hf\` in place of \`HF_TOKEN\`. On RunPod keep them in RunPod
  Secrets and write \`{{ RUNPOD_SECRET_name }}\`. ComfyUI and Jupyter don't get to see them.
`;

export function readImageSettings(): ImageSetting[] {
  return JSON.parse(readFileSync(new URL('../../docker/settings.json', import.meta.url), 'utf8'));
}

/** The text of docs/environment.md. */
export function environmentPage(image: readonly ImageSetting[], list: ModelList): string {
  const names = [...new Set([...Object.keys(groups), ...image.map(({ group }) => group)])];
  const sections = names.flatMap((group) => {
    const rows = image.filter((setting) => setting.group === group).map(settingRow);
    return rows.length === 0 ? [] : [section(groups[group] ?? group, rows)];
  });
  return [introduction, ...sections, models(togglesOf(list)), agent()].join('\n');
}

function section(title: string, rows: readonly string[]): string {
  return [`## ${title}`, '', '| variable | default | what it does |', '| --- | --- | --- |', ...rows, ''].join('\n');
}

function settingRow({ name, secret, values, doc, ...setting }: ImageSetting): string {
  const known = values === undefined || isTrueOrFalse(values) ? '' : ` *One of ${values.map(code).join(', ')}.*`;
  return row([
    `${code(name)}${secret ? ' 🔒' : ''}`,
    setting.default === '' ? 'unset' : code(setting.default),
    doc + known,
  ]);
}

function models(toggles: readonly Toggle[]): string {
  const rows = toggles.flatMap((toggle) => {
    const { name, title, choice, ids, experimental } = toggle;
    const link = `[${defaultFiles(toggle).length > 0 ? 'files and sizes' : 'more'}](models.md#${name.toLowerCase()})`;
    const rows = [row([code(name), code('false'), `${title}.${experimental ? ' *Experimental.*' : ''} ${link}`])];
    if (choice) {
      const many = choice.many ? 'Any of' : 'One of';
      const values = choice.values.map(({ value }) => code(value)).join(', ');
      rows.push(row([code(choice.name), code(choice.default), `${many} ${values}, for ${code(name)}.`]));
    }
    if (ids) rows.push(row([code(ids.name), 'unset', `Numbers of CivitAI versions, for ${code(name)}.`]));
    return rows;
  });
  const extras = new Map<string, string[]>();
  for (const { name, extras: own } of toggles)
    for (const extra of own) extras.set(extra.name, [...(extras.get(extra.name) ?? []), code(name)]);
  for (const [name, users] of extras)
    rows.push(
      row([code(name), code('false'), `Fetches what image to video needs as well, with ${users.join(' and ')}.`]),
    );
  return section('Which models', rows);
}

function agent(): string {
  const lines = Object.entries(agentGroups).map(([group, title]) => {
    const names = agentSettings
      .filter((setting) => setting.group === group)
      .flatMap((setting) => namesOf(setting).map(code));
    return `- ${title}: ${names.join(', ')}`;
  });
  return [
    '## r2-sync',
    '',
    'What each of them does is in [configuration](configuration.md). The first four are all that uploads need.',
    '',
    ...lines,
    '',
  ].join('\n');
}

function isTrueOrFalse(values: readonly string[]): boolean {
  return values.length === 2 && values.includes('true') && values.includes('false');
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function code(text: string): string {
  return `\`${text}\``;
}
