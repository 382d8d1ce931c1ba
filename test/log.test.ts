// Invariant 8 in the log: a secret never survives, wherever in a line it stands.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createLog, redactor } from '../src/log.ts';

function collect(options: { secrets?: string[]; level?: string; isTTY?: boolean } = {}) {
  const written: string[] = [];
  const { secrets = [], level = 'trace', isTTY = false } = options;
  const stream = { isTTY, write: (line: string) => void written.push(line) };
  return { log: createLog({ level, secrets, stream }), text: () => written.join('') };
}

/** As keys are: long enough, and with what must be escaped in URLs and in JSON. */
const secret = fc.stringMatching(/^[A-Z0-9+/=%"\\ ]{8,40}$/).filter((text) => text.trim().length >= 8);

describe('redactor', () => {
  test('cuts secrets out of any text, plain, percent-encoded or in JSON', () => {
    fc.assert(
      fc.property(fc.array(secret, { minLength: 1, maxLength: 4 }), fc.array(fc.string()), (secrets, between) => {
        const hide = redactor(secrets);
        const forms = secrets.flatMap((one) => [one, encodeURIComponent(one), JSON.stringify(one).slice(1, -1)]);
        const hidden = hide(forms.map((form, at) => `${between[at] ?? ''}${form}`).join(between.at(-1) ?? ''));
        for (const form of forms) expect(hidden).not.toContain(form);
      }),
    );
  });

  test('leaves all else alone', () => {
    fc.assert(
      fc.property(secret, fc.string(), (one, text) => {
        fc.pre(![one, encodeURIComponent(one), JSON.stringify(one).slice(1, -1)].some((form) => text.includes(form)));
        expect(redactor([one])(text)).toBe(text);
      }),
    );
    expect(redactor(['abcdefgh'])('key abcdefgh.')).toBe('key [redacted].');
  });

  test('a secret within a longer one leaves no rest of it', () => {
    expect(redactor(['secret', 'secret-and-more'])('secret-and-more')).toBe('[redacted]');
  });

  test('very short values are no secrets: they would blank out words', () => {
    expect(redactor(['', 'a', 'the'])('the cat')).toBe('the cat');
  });
});

describe('createLog', () => {
  test.for([true, false])('no secret in messages, fields, nested errors or names (terminal: %s)', (isTTY) => {
    fc.assert(
      fc.property(secret, (one) => {
        const { log, text } = collect({ secrets: [one], isTTY });
        const error = Object.assign(new Error(`refused: ${one}`), { config: { headers: { authorization: one } } });
        log.info({ error, err: error, [one]: one, url: encodeURIComponent(one) }, `a message with ${one} in it`);
        for (const form of [one, encodeURIComponent(one), JSON.stringify(one).slice(1, -1)])
          expect(text()).not.toContain(form);
        expect(text()).toContain('a message with [redacted] in it');
      }),
      { numRuns: 50 },
    );
  });

  test('JSON, one line each, where no terminal is; readable lines where one is', () => {
    const plain = collect();
    plain.log.warn({ path: 'a\nb.png' }, 'two\nlines');
    expect(plain.text().split('\n')).toHaveLength(2);
    expect(JSON.parse(plain.text())).toMatchObject({ level: 40, msg: 'two\nlines', path: 'a\nb.png' });
    expect(JSON.parse(plain.text())).not.toHaveProperty('pid');
    const terminal = collect({ isTTY: true });
    terminal.log.info({ key: 'outputs/a.png' }, 'stored: a.png');
    expect(terminal.text()).toContain('stored: a.png');
    expect(terminal.text()).not.toContain('outputs/a.png');
  });

  test('nothing below its level', () => {
    const { log, text } = collect({ level: 'info' });
    log.debug('a scan');
    expect(text()).toBe('');
  });
});
