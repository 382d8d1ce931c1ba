// Every order of events, as far as the number of states allows; R2_EXPLORE_STATES sets another number. With 16 million
// the first configuration comes to its end: there is nothing that two agents can do, however they are paused, that it
// has not seen (some 4 minutes and 4 GB).
import { afterAll, describe, expect, it } from 'vitest';
import * as reducer from '../../src/lease/reducer.ts';
import { type Configuration, configurations, everything } from './explorer/configurations.ts';
import { Model } from './explorer/model.ts';
import { explore, wander } from './explorer/search.ts';
import { STALENESS, timing } from './explorer/world.ts';

const states = process.env.R2_EXPLORE_STATES;
const report: string[] = [];
afterAll(() => console.log(report.join('\n')));

describe('invariant 5: one winner of an epoch, one uploader at a time, and a dead holder is replaced', () => {
  it.each(Object.entries<Configuration>(configurations))(
    '%s',
    (name, configuration) => {
      const most = states === undefined ? configuration.states : Number(states);
      const found = explore(new Model(configuration, reducer), most);
      report.push(
        `${name}: ${found.states} states, ${found.depth} moves deep${found.exhausted ? ', all there are' : ''}; ${found.continued} continued fairly`,
      );
      expect(found.fault).toBeUndefined();
    },
    600_000,
  );

  it('three agents to whom everything happens, far along single paths', () => {
    const found = wander(new Model(everything, reducer), 300, 300);
    report.push(`single paths: ${found.states} moves on paths of 300`);
    expect(found.fault).toBeUndefined();
  });
});

describe('the explorer would see it', () => {
  it('its times are no longer than those that the agent refuses', () => {
    expect(timing.dead).toBeGreaterThanOrEqual(1.25 * (timing.stop + Math.max(timing.abort, STALENESS)));
    expect(timing.dead - 1).toBeLessThan(1.25 * (timing.stop + Math.max(timing.abort, STALENESS)));
  });

  it.each(['reads of any age', 'two pods of one id'] as const)('%s: two upload at a time', (name) => {
    const strict = { ...configurations[name], overlaps: false };
    expect(explore(new Model(strict, reducer), strict.states).fault?.what).toBe('two agents upload');
  });
});
