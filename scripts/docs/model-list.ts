// Reads docker/models.json, and sums up what its toggles fetch.
import { readFileSync } from 'node:fs';

export interface File {
  /** Below MODELS_DIR. A whole repository has its directory here. */
  to: string;
  /** For people: a repository of Hugging Face, or a version of CivitAI. */
  from: string;
  /** Bytes; undefined where nobody has asked yet. */
  size: number | undefined;
  /** The size is only roughly known. */
  about: boolean;
  /** The list holds its size and SHA-256. */
  pinned: boolean;
}

export interface Choice {
  name: string;
  default: string;
  many: boolean;
  values: { value: string; files: File[] }[];
}

export interface Toggle {
  name: string;
  title: string;
  group: string;
  nodes: string[];
  files: File[];
  extras: { name: string; files: File[] }[];
  choice: Choice | undefined;
  /** A setting that holds numbers of CivitAI versions, and the directory that they go to. */
  ids: { name: string; to: string } | undefined;
  experimental: boolean;
  tier: string | undefined;
  notes: string | undefined;
}

interface Source {
  repo: string;
  revision: string;
}

interface Listed {
  repo: string;
  to: string;
  size?: number | null;
  sha256?: string | null;
  about?: number;
  version?: number;
  files?: { size: number | null; sha256: string | null }[] | null;
}

interface ListedToggle {
  name: string;
  title: string;
  group: string;
  nodes: string[];
  fetches: string[];
  extras?: { name: string; fetches: string[] }[];
  choice?: { name: string; default: string; many?: boolean; values: Record<string, string[]> };
  ids?: { name: string; to: string };
  experimental?: boolean;
  tier?: string;
  notes?: string;
}

export interface ModelList {
  repos: Record<string, Source>;
  files: Record<string, Listed>;
  snapshots: Record<string, Listed>;
  civitai: Record<string, Listed>;
  toggles: ListedToggle[];
}

export function readModelList(): ModelList {
  return JSON.parse(readFileSync(new URL('../../docker/models.json', import.meta.url), 'utf8'));
}

export function togglesOf(list: ModelList): Toggle[] {
  const files = (ids: readonly string[]) => ids.map((id) => fileOf(list, id));
  return list.toggles.map(({ fetches, extras = [], choice, ids, experimental = false, tier, notes, ...toggle }) => ({
    ...toggle,
    files: files(fetches),
    extras: extras.map((extra) => ({ name: extra.name, files: files(extra.fetches) })),
    choice: choice && {
      ...choice,
      many: choice.many ?? false,
      values: Object.entries(choice.values).map(([value, ids]) => ({ value, files: files(ids) })),
    },
    ids,
    experimental,
    tier,
    notes,
  }));
}

/** Every setting that decides which models are fetched: toggles, what goes with them, choices, numbers. */
export function modelSettings(toggles: readonly Toggle[]): string[] {
  const names = toggles.flatMap(({ name, extras, choice, ids }) => [
    name,
    ...extras.map((extra) => extra.name),
    ...(choice ? [choice.name] : []),
    ...(ids ? [ids.name] : []),
  ]);
  return [...new Set(names)];
}

/** Files of a toggle as they are fetched by default, without its extras. */
export function defaultFiles({ files, choice }: Toggle): File[] {
  const chosen = choice?.default.split(',') ?? [];
  return [
    ...files,
    ...(choice?.values ?? []).filter(({ value }) => chosen.includes(value)).flatMap((one) => one.files),
  ];
}

function fileOf(list: ModelList, id: string): File {
  const entry = list.files[id] ?? list.snapshots[id] ?? list.civitai[id];
  if (entry === undefined) throw new Error(`docker/models.json has no entry ${id}`);
  const from = entry.version === undefined ? list.repos[entry.repo]!.repo : `CivitAI, version ${entry.version}`;
  const parts =
    entry.files ?? (entry.files === null ? [] : [{ size: entry.size ?? null, sha256: entry.sha256 ?? null }]);
  const known = parts.length > 0 && parts.every(({ size }) => size !== null);
  return {
    to: id in list.snapshots ? `${entry.to}/` : entry.to,
    from,
    size: known ? parts.reduce((sum, { size }) => sum + size!, 0) : entry.about,
    about: !known && entry.about !== undefined,
    pinned: known && parts.every(({ sha256 }) => sha256 !== null),
  };
}
