// The workflows of the image: they open in ComfyUI as they are, and run with what one variable fetches.
import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

type Link = [id: number, from: number, output: number, to: number, input: number, type: string];

interface Node {
  id: number;
  type: string;
  order: number;
  inputs: { name: string; type: string; link: number | null }[];
  outputs: { name: string; type: string; links: number[] }[];
  widgets_values: (string | number)[];
}

interface Workflow {
  version: number;
  last_node_id: number;
  last_link_id: number;
  nodes: Node[];
  links: Link[];
}

/** What a node class looks like: sockets by name and type, and its fields from top to bottom. */
interface NodeClass {
  inputs: Record<string, string>;
  outputs: string[];
  fields: (string | readonly (string | number)[])[];
}

const MODEL = { model: 'MODEL' };
const SAMPLER = { ...MODEL, positive: 'CONDITIONING', negative: 'CONDITIONING', latent_image: 'LATENT' };
/** What the page does with the seed after a run. ComfyUI doesn't know this field, but it takes a place behind each seed. */
const AFTER_RUN = ['fixed', 'increment', 'decrement', 'randomize'];

/**
 * As in the sources of ComfyUI 0.38 and 0.39: nodes.py, and comfy_extras/nodes_{model_advanced,hunyuan,sd3,video}.py. Values
 * in a workflow have no names, only their places, so a field too many or too few shifts all behind it. Fields that ComfyUI
 * may leave out at the end (codec, colour space) have their defaults then.
 */
const CLASSES: Record<string, NodeClass> = {
  UNETLoader: { inputs: {}, outputs: ['MODEL'], fields: ['model', ['default', 'fp8_e4m3fn', 'fp8_e5m2']] },
  LoraLoaderModelOnly: { inputs: MODEL, outputs: ['MODEL'], fields: ['model', 'number'] },
  CLIPLoader: { inputs: {}, outputs: ['CLIP'], fields: ['model', ['wan', 'lumina2'], ['default', 'cpu']] },
  VAELoader: { inputs: {}, outputs: ['VAE'], fields: ['model'] },
  ModelSamplingSD3: { inputs: MODEL, outputs: ['MODEL'], fields: ['number'] },
  ModelSamplingAuraFlow: { inputs: MODEL, outputs: ['MODEL'], fields: ['number'] },
  CLIPTextEncode: { inputs: { clip: 'CLIP' }, outputs: ['CONDITIONING'], fields: ['string'] },
  ConditioningZeroOut: { inputs: { conditioning: 'CONDITIONING' }, outputs: ['CONDITIONING'], fields: [] },
  EmptyHunyuanLatentVideo: { inputs: {}, outputs: ['LATENT'], fields: ['number', 'number', 'number', 'number'] },
  EmptySD3LatentImage: { inputs: {}, outputs: ['LATENT'], fields: ['number', 'number', 'number'] },
  // seed, after a run, steps, cfg, sampler, scheduler, denoise
  KSampler: {
    inputs: SAMPLER,
    outputs: ['LATENT'],
    fields: ['number', AFTER_RUN, 'number', 'number', ['euler', 'res_multistep'], ['simple'], 'number'],
  },
  // add noise, seed, after a run, steps, cfg, sampler, scheduler, from step, to step, leave noise
  KSamplerAdvanced: {
    inputs: SAMPLER,
    outputs: ['LATENT'],
    fields: [
      ['enable', 'disable'],
      'number',
      AFTER_RUN,
      'number',
      'number',
      ['euler', 'res_multistep'],
      ['simple'],
      'number',
      'number',
      ['enable', 'disable'],
    ],
  },
  VAEDecode: { inputs: { samples: 'LATENT', vae: 'VAE' }, outputs: ['IMAGE'], fields: [] },
  CreateVideo: { inputs: { images: 'IMAGE' }, outputs: ['VIDEO'], fields: ['number'] },
  SaveVideo: { inputs: { video: 'VIDEO' }, outputs: [], fields: ['string', ['auto'], ['auto']] },
  SaveImage: { inputs: { images: 'IMAGE' }, outputs: [], fields: ['string'] },
  Note: { inputs: {}, outputs: [], fields: ['string'] },
};

/** Where a loader looks for what its first field names, below the models directory. */
const FOLDERS: Record<string, string> = {
  UNETLoader: 'diffusion_models',
  LoraLoaderModelOnly: 'loras',
  CLIPLoader: 'text_encoders',
  VAELoader: 'vae',
};

interface Manifest {
  files: Record<string, { to: string }>;
  toggles: { name: string; fetches: string[]; experimental?: boolean; extras?: { name: string }[] }[];
}

const DIRECTORY = new URL('../../docker/workflows/', import.meta.url);
const manifest = JSON.parse(
  readFileSync(new URL('../../docker/models.json', import.meta.url), 'utf8'),
) as unknown as Manifest;
const names = readdirSync(DIRECTORY);

function read(name: string): { text: string; workflow: Workflow } {
  const text = readFileSync(new URL(name, DIRECTORY), 'utf8');
  return { text, workflow: JSON.parse(text) as Workflow };
}

function nodeOf({ nodes }: Workflow, id: number): Node {
  const node = nodes.find((candidate) => candidate.id === id);
  if (!node) throw new Error(`There is no node ${id}.`);
  return node;
}

/** The paths below the models directory that loaders of the workflow want. */
function wantedModels({ nodes }: Workflow): string[] {
  return nodes.flatMap(({ type, widgets_values }) => (FOLDERS[type] ? [`${FOLDERS[type]}/${widgets_values[0]}`] : []));
}

/** The variables of models that the note tells to set. */
function toggleOfNote({ nodes }: Workflow): string {
  const notes = nodes.filter(({ type }) => type === 'Note').map(({ widgets_values }) => String(widgets_values[0]));
  const told = new Set(notes.join('\n').match(/[A-Z][A-Z0-9_]+(?==true)/g));
  expect([...told], 'the variables that the note tells to set').toHaveLength(1);
  return [...told][0]!;
}

test('there is one for a video and one for a picture', () => {
  const savers = names.flatMap((name) => read(name).workflow.nodes.map(({ type }) => type));
  expect(savers.filter((type) => type.startsWith('Save')).sort()).toEqual(['SaveImage', 'SaveVideo']);
  expect(names.every((name) => name.endsWith('.json'))).toBe(true);
});

describe.each(names)('%s', (name) => {
  const { text, workflow } = read(name);

  test('ids are its own, and none is above the last one that it states', () => {
    const { nodes, links } = workflow;
    expect(workflow.version).toBe(0.4);
    for (const ids of [nodes.map(({ id }) => id), links.map(([id]) => id), nodes.map(({ order }) => order)])
      expect(new Set(ids).size).toBe(ids.length);
    expect(Math.max(...nodes.map(({ id }) => id))).toBe(workflow.last_node_id);
    expect(Math.max(...links.map(([id]) => id))).toBe(workflow.last_link_id);
  });

  test('every link leaves an output and enters an input of its type, and both know it', () => {
    for (const [id, from, output, to, input, type] of workflow.links) {
      const source = nodeOf(workflow, from).outputs[output];
      const target = nodeOf(workflow, to).inputs[input];
      expect(source, `the output of link ${id}`).toMatchObject({ type });
      expect(target, `the input of link ${id}`).toMatchObject({ type, link: id });
      expect(source?.links, `what the output of link ${id} knows`).toContain(id);
    }
  });

  test('no node knows a link that there is not, and none is executed before what it needs', () => {
    const links = new Map(workflow.links.map((link) => [link[0], link]));
    for (const node of workflow.nodes) {
      for (const [slot, { links: known }] of node.outputs.entries())
        for (const id of known) expect(links.get(id)?.slice(1, 3)).toEqual([node.id, slot]);
      for (const [slot, { link }] of node.inputs.entries()) {
        expect(links.get(link ?? -1)?.slice(3, 5)).toEqual([node.id, slot]);
        expect(nodeOf(workflow, links.get(link ?? -1)![1]).order).toBeLessThan(node.order);
      }
    }
  });

  test.each(workflow.nodes.map((node) => [node.type, node] as const))('%s is as ComfyUI has it', (type, node) => {
    const known = CLASSES[type];
    if (!known) throw new Error(`${type} isn't in the table above: look it up in ComfyUI's sources.`);
    expect(Object.fromEntries(node.inputs.map((input) => [input.name, input.type]))).toEqual(known.inputs);
    expect(node.outputs.map((output) => output.type)).toEqual(known.outputs);
    expect(node.widgets_values).toHaveLength(known.fields.length);
    for (const [place, field] of known.fields.entries()) {
      const value = node.widgets_values[place];
      if (typeof field !== 'string') expect(field).toContain(value);
      else if (field === 'model') expect(value).toMatch(/^[\w.-]+\.safetensors$/);
      else expect(typeof value).toBe(field);
    }
  });

  test('runs with what the variable fetches that its note names, and needs all of that', () => {
    const toggle = manifest.toggles.find((candidate) => candidate.name === toggleOfNote(workflow));
    if (!toggle) throw new Error(`${toggleOfNote(workflow)} isn't in models.json.`);
    expect(toggle.experimental ?? false).toBe(false);
    expect(wantedModels(workflow).sort()).toEqual(toggle.fetches.map((id) => manifest.files[id]?.to).sort());
  });

  test('names no model but those that its loaders want', () => {
    const named = text.match(/[\w.-]+\.(?:safetensors|gguf|ckpt|pth?|bin|onnx)/g) ?? [];
    const wanted = wantedModels(workflow).map((path) => path.split('/')[1]);
    expect([...new Set(named)].sort()).toEqual([...new Set(wanted)].sort());
  });

  test('sizes and lengths are ones that its model can make', () => {
    for (const { type, widgets_values } of workflow.nodes) {
      if (!type.startsWith('Empty')) continue;
      const [width, height, length] = widgets_values.map(Number);
      expect([width! % 16, height! % 16]).toEqual([0, 0]);
      if (type === 'EmptyHunyuanLatentVideo') expect(length! % 4).toBe(1);
    }
  });

  test('steps by two models follow one another without a gap', () => {
    const halves = workflow.nodes.filter(({ type }) => type === 'KSamplerAdvanced');
    let done = 0;
    for (const [place, { widgets_values: values }] of halves.entries()) {
      expect(values.slice(7, 9)).toEqual([done, Number(values[3]) / halves.length + done]);
      done = Number(values[8]);
      // Noise is added once, at the start, and what is left of it is passed on until the end.
      expect([values[0], values[9]]).toEqual(place === 0 ? ['enable', 'enable'] : ['disable', 'disable']);
    }
    if (halves.length > 0) expect(done).toBe(halves[0]?.widgets_values[3]);
  });

  test('is saved where the guides say', () => {
    const saver = workflow.nodes.find(({ type }) => type.startsWith('Save'));
    expect(saver?.widgets_values[0]).toBe(saver?.type === 'SaveVideo' ? 'video/ComfyUI' : 'ComfyUI');
  });
});
