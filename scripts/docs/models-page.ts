// Makes docs/models.md from docker/models.json.
import { defaultFiles, type File, type ModelList, type Toggle, togglesOf } from './model-list.ts';

const groups: Record<string, string> = {
  video: 'Video',
  image: 'Pictures',
  sound: 'Sound',
  experimental: 'Experimental',
};

const introduction = `# Models

<!-- Made by \`npm run docs\` from docker/models.json. Change it there. -->

A variable for each model: set \`ENABLE_WAN22=true\` in the template, and its files are fetched when the pod starts, beside
ComfyUI, which is there at once. Nothing is fetched that you don't ask for. Models are on the volume, in
\`/workspace/ComfyUI/models\`, so that the next pod on that volume has them already: a start with every model in place takes
a moment and needs no network.

- **Each file is checked** by size and SHA-256 before it gets its name, so ComfyUI never sees half a model. A file that is
  there already is taken if its size is right, and its hash is checked once; with another size or hash it is fetched anew
  and replaced. *Pinned* files are compared with the list in the image. *Unpinned* ones have no size and hash in the list
  yet: they are compared with what their host says on that day.
- **An interrupted download goes on** where it was cut, also on another pod. What came is kept in a \`.partial\` file.
- **Several pods on one volume** share the work: one fetches a file, the others wait for it and say so. When it dies, one of
  them goes on after 45 seconds.
- **What can't be had** is named in the log with the reason and what to do. The other files come all the same.
- **Room** is looked at before: a toggle that doesn't fit is left out as a whole. On a RunPod network volume the free room
  that can be seen is the whole cluster's, not your quota, so do the sum yourself.

\`DRY_RUN=true\` fetches nothing and writes into the log what would be fetched, how big it is and where it would go. To fetch
more on a running pod, without a restart, in its terminal:

\`\`\`
ENABLE_ZIMAGE=true /opt/hearmeman/download_models.sh
\`\`\`

Some models want you to accept their terms on Hugging Face first, and then a token in \`HF_TOKEN\`; CivitAI asks for a key in
\`CIVITAI_API_KEY\`. Keep both in RunPod secrets. Each is shown to its own host alone.

Sizes: 1 GB is 1,000,000,000 bytes. Files that several models share are fetched once. Where a size begins with "about", or
is missing, nobody has asked the host for it yet: \`download_models.sh --lock\` does, and writes sizes and hashes into the
list.
`;

/** The text of docs/models.md. */
export function modelsPage(list: ModelList): string {
  const toggles = togglesOf(list);
  return [introduction, overview(toggles), ...toggles.map(section)].join('\n');
}

function overview(toggles: readonly Toggle[]): string {
  const parts = Object.entries(groups).map(([group, title]) => {
    const rows = toggles
      .filter((toggle) => toggle.group === group)
      .map((toggle) => row([`[\`${toggle.name}\`](#${toggle.name.toLowerCase()})`, toggle.title, sizeCell(toggle)]));
    return [`## ${title}`, '', '| variable | what it is | fetches |', '| --- | --- | --- |', ...rows, ''].join('\n');
  });
  return [...parts, '## File by file\n'].join('\n');
}

function sizeCell(toggle: Toggle): string {
  if (toggle.ids) return `what \`${toggle.ids.name}\` names`;
  const base = sumText(defaultFiles(toggle));
  const extras = toggle.extras.map(
    ({ name, files }) => `with \`${name}\` ${sumText(unique([...defaultFiles(toggle), ...files]))}`,
  );
  return [base, ...extras].join('; ');
}

function section(toggle: Toggle): string {
  const lines = [`### \`${toggle.name}\``, '', `${capital(toggle.title)}.`];
  if (toggle.experimental)
    lines.push(
      '**Experimental: weights only.** The image has no node that uses these files, so ComfyUI can do nothing with them until you install one.',
    );
  if (toggle.tier) lines.push(`Only on GPUs of the tier \`${toggle.tier}\`, or with \`GPU_TIER=${toggle.tier}\`.`);
  if (toggle.nodes.length > 0)
    lines.push(
      `Used by ${toggle.nodes.map((node) => `[${node}](https://github.com/${node})`).join(', ')}, in the image.`,
    );
  if (toggle.notes) lines.push(toggle.notes);
  lines.push('');
  if (toggle.files.length > 0) lines.push(...table(toggle.files));
  for (const { name, files } of toggle.extras) {
    const more = files.filter(({ to }) => !toggle.files.some((file) => file.to === to));
    lines.push(`With \`${name}=true\` also:`, '', ...table(more));
  }
  if (toggle.choice) lines.push(...choice(toggle.choice));
  if (toggle.ids)
    lines.push(
      `\`${toggle.ids.name}\` takes numbers, separated by commas; the files go to \`${toggle.ids.to}/\` under the names that they have there. Example: \`${toggle.ids.name}=12345,67890\``,
      '',
    );
  return lines.join('\n');
}

function choice({ name, default: chosen, many, values }: NonNullable<Toggle['choice']>): string[] {
  const rule = many ? `one or more of these, separated by commas (\`${chosen}\`)` : `one of these (\`${chosen}\`)`;
  const rows = values.flatMap(({ value, files }) => files.map((file) => [`\`${value}\``, ...cells(file)]));
  return [
    `\`${name}\` is ${rule}:`,
    '',
    `| \`${name}\` | file | size | from | |`,
    '| --- | --- | --- | --- | --- |',
    ...rows.map(row),
    '',
  ];
}

function table(files: readonly File[]): string[] {
  const sum = files.length > 1 ? [row(['**together**', `**${sumText(files)}**`, '', ''])] : [];
  return [
    '| file | size | from | |',
    '| --- | --- | --- | --- |',
    ...files.map((file) => row(cells(file))),
    ...sum,
    '',
  ];
}

function cells({ to, from, pinned, ...file }: File): string[] {
  return [`\`${to}\``, sizeText(file.size, file.about), from, pinned ? 'pinned' : 'unpinned'];
}

function sizeText(size: number | undefined, about: boolean): string {
  if (size === undefined) return 'not known yet';
  const text = size >= 1e9 ? `${(size / 1e9).toFixed(2)} GB` : `${Math.max(1, Math.round(size / 1e6))} MB`;
  return about ? `about ${text.replace(/\.?0+ GB/, ' GB')}` : text;
}

function sumText(files: readonly File[]): string {
  const known = files.filter(({ size }) => size !== undefined);
  if (known.length === 0) return 'size not known yet';
  const sum = known.reduce((total, { size }) => total + size!, 0);
  const gigabytes = sum >= 1e8 ? `${(sum / 1e9).toFixed(1)} GB` : `${Math.max(1, Math.round(sum / 1e6))} MB`;
  if (known.length < files.length) return `more than ${gigabytes}`;
  return files.some(({ about }) => about) ? `about ${gigabytes}` : gigabytes;
}

function unique(files: readonly File[]): File[] {
  return [...new Map(files.map((file) => [file.to, file])).values()];
}

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

function capital(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}
