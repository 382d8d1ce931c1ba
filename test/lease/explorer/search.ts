// Breadth first: the first fault that is found has a shortest trace.
import { fair } from './fair.ts';
import { keyOf } from './key.ts';
import { describeMove, type Model } from './model.ts';
import type { World } from './world.ts';

/** One in so many states is continued fairly, to see that it comes to a good end. */
const SAMPLE = 50;

interface Outcome {
  states: number;
  depth: number;
  /** Nothing was left to visit. */
  exhausted: boolean;
  /** States that were continued fairly. */
  continued: number;
  fault: { what: string; trace: string[] } | undefined;
}

interface Node {
  parent: Node | undefined;
  name: string;
  agent: number;
}

/** @param most ends after so many states */
export function explore(model: Model, most: number): Outcome {
  const { rules } = model;
  const first = model.start();
  const visited = new Set([keyOf(first, rules)]);
  let level: { world: World; node: Node | undefined }[] = [{ world: first, node: undefined }];
  let fault: Outcome['fault'];
  let depth = 0;
  let continued = 0;
  while (level.length > 0 && !fault && visited.size < most) {
    depth++;
    const next: typeof level = [];
    for (const { world, node } of level) {
      model.visit(world, (name, agent, to) => {
        if (fault) return;
        const key = keyOf(to, rules);
        if (visited.has(key) && !to.fault) return;
        visited.add(key);
        const reached: Node = { parent: node, name, agent };
        let what = to.fault;
        if (!what && visited.size % SAMPLE === 0) {
          continued++;
          what = fair(model, to);
        }
        if (what) fault = { what, trace: traceOf(reached) };
        next.push({ world: to, node: reached });
      });
      if (fault || visited.size >= most) break;
    }
    level = next;
  }
  return { states: visited.size, depth, exhausted: level.length === 0 && !fault, continued, fault };
}

/** Goes anywhere, far deeper than all paths could be followed. Gives how many moves it made. */
export function wander(model: Model, walks: number, length: number): Pick<Outcome, 'states' | 'fault'> {
  let random = 1;
  let states = 0;
  for (let walk = 0; walk < walks; walk++) {
    let world = model.start();
    const trace: string[] = [];
    for (let move = 0; move < length; move++) {
      const next: { world: World; move: string }[] = [];
      model.visit(world, (name, agent, to) => next.push({ world: to, move: describeMove(name, agent) }));
      random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
      const chosen = next[Math.floor((random / 2 ** 32) * next.length)]!;
      world = chosen.world;
      trace.push(chosen.move);
      states++;
      const what = world.fault ?? (states % SAMPLE === 0 ? fair(model, world) : undefined);
      if (what) return { states, fault: { what, trace } };
    }
  }
  return { states, fault: undefined };
}

function traceOf(node: Node): string[] {
  const moves: string[] = [];
  for (let at: Node | undefined = node; at; at = at.parent) moves.unshift(describeMove(at.name, at.agent));
  return moves;
}
