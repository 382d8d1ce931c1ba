// Worlds that differ only in what can't matter any more have the same key: times count from now and only as far as
// somebody asks for them, epochs from the highest, beats from the newest; agents have no names.
import type { Instant, LeaseEvent } from '../../../src/lease/reducer.ts';
import { type Agent, clockOf, isAlive, type Rules, timing, type Underway, type World } from './world.ts';

let high = 0;
let low = 0;

function start(): void {
  high = 0x12345678;
  low = 0x9abcdef;
}

function mix(value: number): void {
  high = Math.imul(high ^ value, 0x85ebca6b);
  high ^= high >>> 15;
  low = Math.imul((low + value) | 0, 0xc2b2ae35) ^ (low >>> 13);
}

/** 53 bits. */
function result(): number {
  return (high >>> 0) * 0x20_0000 + ((Math.imul(low ^ high, 0x27d4eb2f) ^ (low >>> 16)) >>> 11);
}

const clamp = (value: number, least: number, most: number) => Math.max(least, Math.min(most, value));
const MODES = ['away', 'asking', 'claiming', 'holding', 'leaving'];
const EVENTS = ['seen', 'linked', 'beaten', 'left'];
const EFFECTS = ['look', 'link', 'beat', 'leave'];
const UPLOADS = ['no', 'sent', 'stored'];

export function keyOf(world: World, rules: Rules): number {
  const agents = world.agents.map((agent) => agentKey(world, agent)).sort((one, other) => one - other);
  start();
  for (const key of agents) {
    mix(key | 0);
    mix((key / 0x1_0000_0000) | 0);
  }
  mixVolume(world, rules);
  const { whims, faults, timeouts, crashes, restarts, steps, suspends, files } = world.budget;
  mix((whims << 24) | (faults << 20) | (timeouts << 16) | (crashes << 12) | (restarts << 8) | (steps << 4) | suspends);
  mix(files * 8 + world.file.objects * 2 + (world.file.recorded ? 1 : 0));
  for (const orphan of world.orphans) {
    mixUnderway(world, orphan, { mono: world.t, wall: world.t });
    mix(orphan.process === world.owner ? 1 : 0);
    mix(isAlive(world, orphan.process) ? 1 : 0);
  }
  return result();
}

function mixVolume(world: World, { anyAge }: Rules): void {
  mix(epoch(world, 0));
  for (let past = 0; past < 4; past++) {
    mix(world.claims.includes(world.top - past) ? 1 : 0);
    mix(world.gained.includes(world.top - past) ? 1 : 0);
  }
  mix(isAlive(world, world.owner) ? 1 : 0);
  mix(world.released ? 1 : 0);
  const newest = world.beats.at(-1)?.counter ?? 0;
  for (const { counter, until } of world.beats) {
    mix(newest - counter);
    mix(anyAge ? 0 : clamp(world.t - until, -1, 9));
  }
  mix(newest === 0 ? 1 : 0);
}

function agentKey(world: World, agent: Agent): number {
  start();
  const { lease, underway, chain } = agent;
  const { mode } = lease;
  const now = clockOf(world, agent);
  mix((agent.alive ? 1 : 0) + (lease.wanted ? 2 : 0) + (lease.brief ? 4 : 0) + (lease.running ? 8 : 0));
  mix(
    (agent.suspended ? 1 : 0) +
      (world.owner === agent.process ? 2 : 0) +
      (world.owner % world.agents.length === agent.process % world.agents.length ? 4 : 0),
  );
  mix(agent.flight * 4 + UPLOADS.indexOf(agent.upload));
  mix('epoch' in mode && mode.epoch <= agent.over ? 1 : 0);
  mix(MODES.indexOf(mode.is));
  const watched = mode.is === 'asking' ? mode.watched : undefined;
  switch (mode.is) {
    case 'asking':
      mix(lease.running ? 0 : wait(mode.lookAt, now));
      mix(mode.failures * 16 + mode.unwon * 2 + (mode.without ? 1 : 0));
      break;
    case 'claiming':
      mix(epoch(world, mode.epoch));
      mixAges(mode.begun, now);
      mix(mode.failures * 16 + mode.unwon * 2 + (mode.without ? 1 : 0));
      break;
    case 'holding':
      mix(epoch(world, mode.epoch));
      mixAges(mode.alive, now);
      mix(lease.running ? 0 : wait(mode.beatAt, now));
      mix(mode.restingSince === undefined ? -1 : clamp(now.mono - mode.restingSince, 0, timing.idle));
      break;
    case 'leaving':
      mix(epoch(world, mode.epoch));
      mix(wait(mode.at, now));
  }
  if (watched) {
    mix(epoch(world, watched.epoch));
    mix(beatCode(world, watched.epoch, watched.beat));
    mixWindow(watched.since, watched.seen, now.mono, underway);
  }
  if (chain) {
    mix(epoch(world, chain.epoch));
    mix(beatCode(world, chain.epoch, chain.beat));
    mix(chain.beat === watched?.beat ? 1 : 0);
    mixWindow(chain.firstEnd, chain.lastEnd, now.mono, underway);
  }
  if (!underway) return result();
  mixUnderway(world, underway, now, mode.is);
  if (underway.reply?.kind === 'seen') {
    const { beat, epoch } = underway.reply.sight.claim ?? {};
    mix(
      (beat === watched?.beat && epoch === watched?.epoch ? 1 : 0) +
        (beat === chain?.beat && epoch === chain?.epoch ? 2 : 0),
    );
  }
  return result();
}

/** The window of an observer, as the look under way or the next one will measure it. */
function mixWindow(since: number, seen: number, now: number, underway: Underway | undefined): void {
  mix(clamp(now - since, 0, timing.dead));
  mix(clamp(now - seen, 0, timing.gap + 1));
  if (underway?.effect.do !== 'look') return;
  mix(clamp(underway.begun.mono - since, -1, timing.dead));
  mix(clamp(underway.begun.mono - seen, -1, timing.gap + 1));
}

function mixUnderway(world: World, { effect, begun, reply, late }: Underway, now: Instant, mode = 'away'): void {
  mix(EFFECTS.indexOf(effect.do) * 2 + (late ? 1 : 0));
  mix('epoch' in effect ? epoch(world, effect.epoch) : -1);
  if (effect.do === 'beat') mixAges(begun, now);
  if (effect.do === 'look') mix(clamp(now.mono - begun.mono, 0, timing.beat));
  mix(reply ? EVENTS.indexOf(reply.kind) : -1);
  if (late) return;
  if (reply?.kind === 'seen') mixSight(world, reply, mode);
  if (reply?.kind === 'linked') mix(reply.links === 2 ? 1 : 0);
  if (reply?.kind === 'beaten') mix(epoch(world, reply.highest));
}

function mixSight(world: World, { sight: { claim, top } }: LeaseEvent & { kind: 'seen' }, mode: string): void {
  mix(epoch(world, top));
  if (!claim) return;
  // One who confirms a claim asks for no more.
  if (mode === 'claiming') return mix(claim.ours ? 1 : 0);
  mix(beatCode(world, claim.epoch, claim.beat));
  mix((claim.ours ? 1 : 0) + (claim.died ? 2 : 0) + (claim.samePod ? 4 : 0) + (claim.released ? 8 : 0));
}

/** Below the third nothing of an epoch is left. */
function epoch({ top }: World, epoch: number): number {
  return epoch === 0 ? 9 : clamp(top - epoch, -3, 4);
}

function beatCode(world: World, epoch: number, beat: string | undefined): number {
  if (epoch !== world.top) return beat === undefined ? 8 : 9;
  return clamp(world.beats.at(-1)!.counter - Number(beat ?? 0), 0, 4) * 2 + (beat === undefined ? 1 : 0);
}

function wait(at: number, { mono }: Instant): number {
  return clamp(Math.ceil(at - mono), 0, 9);
}

function mixAges(then: Instant, now: Instant): void {
  mix(clamp(now.mono - then.mono, 0, timing.stop + 1));
  mix(clamp(now.wall - then.wall, -9, timing.stop + 1));
}
