// The status page over a long history: what its first load weighs, how long the agent takes for it, and what a page that
// is open costs.
import { pause } from '../support/clock.ts';
import { readCpuMs } from '../support/process-tree.ts';
import type { Row } from '../support/row.ts';
import { withSession } from '../support/session.ts';
import { makeStoredFiles } from '../support/stored-files.ts';

const filesOf = (quick: boolean) => (quick ? 5_000 : 100_000);
const secondsOf = (quick: boolean) => (quick ? 15 : 30);
/** The start isn't what this row is about: a hundred thousand files have been read and looked at by then. */
const CALM_SECONDS = 15;
const LOADS = 5;
/** Longer than the agent keeps what it has rendered. */
const BETWEEN_LOADS_MS = 2_500;

export const page: Row = {
  id: 'page',
  extra: true,
  title: ({ quick }) => `status page, ${filesOf(quick)} stored files`,
  metrics: {
    weight: { label: 'first load: HTML, style, script', unit: 'kB', digits: 0, rounds: 'worst' },
    server: { label: 'until the agent has sent the page', unit: 'ms', digits: 0, rounds: 'worst' },
    open: { label: 'CPU of one core for a page that is open', unit: '%', digits: 2, rounds: 'worst' },
  },
  goals: [
    { contender: 'agent', metric: 'weight', text: 'first load under 100 kB', atMost: 100 },
    { contender: 'agent', metric: 'server', text: 'under 200 ms', atMost: 200 },
    { contender: 'agent', metric: 'open', text: 'an open page under 1 % of a core', atMost: 1 },
  ],
  contenders: ['agent'],
  baseline: 'agent',
  rounds: () => 1,
  run: (contender, { quick, ...place }) =>
    withSession(place, async (session) => {
      await makeStoredFiles(session.stage, filesOf(quick));
      const { child, url } = await session.start(contender);
      if (url === undefined) throw new Error(`${contender.name} has no page`);
      await pause(CALM_SECONDS * 1000);
      const loads: number[] = [];
      let weight = 0;
      for (let load = 0; load < LOADS; load += 1) {
        const began = performance.now();
        const document = await (await fetch(url)).text();
        loads.push(performance.now() - began);
        weight = Buffer.byteLength(document);
        await pause(BETWEEN_LOADS_MS);
      }
      for (const file of ['page.css', 'page.js']) weight += (await (await fetch(url + file)).arrayBuffer()).byteLength;
      const cpuOf = async (seconds: number) => {
        const before = readCpuMs(child.pid);
        await pause(seconds * 1000);
        return ((readCpuMs(child.pid) - before) / (seconds * 1000)) * 100;
      };
      const closed = await cpuOf(secondsOf(quick));
      const leave = new AbortController();
      const events = await fetch(`${url}events`, { signal: leave.signal });
      const reading = events.body!.pipeTo(new WritableStream(), { signal: leave.signal }).catch(() => {});
      const open = await cpuOf(secondsOf(quick));
      leave.abort();
      await reading;
      return { weight: weight / 1000, server: Math.max(...loads), open: Math.max(0, open - closed) };
    }),
};
