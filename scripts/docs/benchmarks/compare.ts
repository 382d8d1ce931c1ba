// Is r2-sync ahead of every contender? By figure, with the reason where it isn't.
import type { PublishedRun } from '../../../bench/support/published.ts';

type ContenderId = keyof PublishedRun['names'];

export interface Place {
  title: string;
  label: string;
  /** With their units. */
  ours: string;
  best: string;
  bestId: ContenderId;
  /** Ours over the best of the others. */
  times: string;
  /** Ahead, or level with the best. */
  isAhead: boolean;
  reason: string;
}

/** Row, metric, what is better, and why we may be behind. */
const FIGURES: readonly [row: string, metric: string, better: 'lower' | 'higher', reason: string][] = [
  [
    'latency',
    'p50',
    'lower',
    'Before it sends, r2-sync asks /proc whether a writer still has the file open, hashes, and reads the file’s identity again; the others send what they are told of.',
  ],
  ['latency', 'p99', 'lower', 'The longest waits are those of a scan or of the ledger on the same two cores.'],
  [
    'latency',
    'cpu',
    'lower',
    'At five files a second the agent’s scans and its start-up code count as much as its files; the more files, the smaller that share (see the burst).',
  ],
  ['latency', 'requests', 'lower', 'One PUT a file is the least there is.'],
  [
    'burst',
    'rate',
    'higher',
    'Hashing, /proc and the ledger take their share of two cores that writer and store need, too.',
  ],
  [
    'burst',
    'cpu',
    'lower',
    'The files’ bytes are hashed in full before they are sent; a contender that sends unsigned or part-signed bodies hashes less.',
  ],
  [
    'burst',
    'peak',
    'lower',
    'Four bodies of up to 8 MiB are held at a time, in a Node process: a program in C or Go, or one file after the other, needs less.',
  ],
  ['burst', 'requests', 'lower', 'One PUT a file is the least there is.'],
  ['new-folders', 'lost', 'lower', 'None may be lost.'],
  [
    'new-folders',
    'p50',
    'lower',
    'Files that no hint announces are found by looking into the new folder, a moment later. The others don’t find those at all: their p50 is of what they didn’t lose.',
  ],
  ['new-folders', 'p99', 'lower', 'As above: a file that is found late counts here, one that is lost doesn’t.'],
  [
    'small',
    'rate',
    'higher',
    'For a small file the work isn’t in its bytes but around them: identity, lease, ledger, one request. s5cmd and rclone are compiled programs that do none of the former.',
  ],
  ['small', 'cpu', 'lower', 'As above: what is done once a file outweighs its bytes.'],
  ['small', 'requests', 'lower', 'One PUT a file is the least there is.'],
  [
    'large',
    'rate',
    'higher',
    'A large file is read and hashed in full, whole and by parts, before its name is known, and only then read again and sent: that is what makes a torn object impossible. The others read it once, and hash and send at the same time.',
  ],
  ['large', 'cpu', 'lower', 'As above: its bytes are read twice, and hashed as a whole and by parts.'],
  [
    'large',
    'requests',
    'lower',
    'A HEAD before (the bytes may be there already), and parts of 8 MiB or more, which bound memory.',
  ],
  [
    'videos',
    'megabytes',
    'higher',
    'Large files go one at a time, with two parts on their way, so that pictures have the line to themselves; and while one is hashed, nothing is sent.',
  ],
  ['videos', 'cpu', 'lower', 'As for one large file.'],
  ['folders', 'rate', 'higher', 'Each folder needs a lease first: a claim on the volume, synced to the disk.'],
  ['folders', 'cpu', 'lower', 'As above.'],
  ['folders', 'requests', 'lower', 'One PUT a file is the least there is.'],
  [
    'distance',
    'rate',
    'higher',
    'With a round trip of 50 ms the number of files at a time decides: four here (R2_CONCURRENCY), s5cmd has 256 workers. Raise R2_CONCURRENCY on a far store.',
  ],
  ['distance', 'faulty', 'higher', 'As above.'],
  ['real-latency', 'p50', 'lower', 'As for the double.'],
  ['real-burst', 'rate', 'higher', 'As for the double: the server shares the two cores, and takes the larger part.'],
  ['real-burst', 'cpu', 'lower', 'As for the double.'],
  ['requests', 'idle', 'lower', 'No request while nothing changes.'],
  ['idle', 'memory', 'lower', 'r2-sync holds what it knows of 20,000 files; the contender knows nothing.'],
  [
    'idle',
    'cpu',
    'lower',
    'r2-sync looks at its directories every 10 s and beats its leases; the contender sleeps, and would miss what no event announces.',
  ],
];

/** What a row is called where its whole title is too long. */
const NAMES: Record<string, string> = {
  latency: 'a picture every 0.2 s',
  burst: 'many pictures at once',
  'new-folders': 'new folders',
  small: 'many small files',
  large: 'one large file',
  videos: 'many large files',
  folders: 'fifty folders',
  distance: '50 ms of round trip',
  'real-latency': 'a picture every 0.2 s, real server',
  'real-burst': 'many pictures at once, real server',
  requests: 'files of all sizes',
  idle: 'nothing to do',
};

/** Who loses files sends less and works less: these figures aren't compared with theirs. */
const CHEAPER_BY_LOSS: ReadonlySet<string> = new Set(['requests', 'cpu', 'peak']);
const OURS: readonly ContenderId[] = ['agent', 'agent-plain'];

export function compareWithOthers(run: PublishedRun): Place[] {
  return FIGURES.flatMap(([id, metric, better, reason]) => {
    const row = run.rows.find((one) => one.id === id);
    const ours = row?.figures.agent?.[metric]?.value;
    if (row === undefined || typeof ours !== 'number') return [];
    const others = row.contenders
      .filter((contender) => contender !== 'floor' && !OURS.includes(contender))
      .filter((contender) => !CHEAPER_BY_LOSS.has(metric) || (row.figures[contender]?.lost?.value ?? 0) === 0)
      .flatMap((contender) => {
        const value = row.figures[contender]?.[metric]?.value;
        return typeof value === 'number' ? [{ contender, value }] : [];
      })
      .sort((a, b) => (better === 'lower' ? a.value - b.value : b.value - a.value));
    const best = others[0];
    if (best === undefined) return [];
    const { label, unit, digits } = row.metrics[metric]!;
    const show = (value: number) => `${value.toFixed(digits)}${unit === '' ? '' : ` ${unit}`}`;
    // What the page shows as equal is level.
    const [a, b] = [Number(ours.toFixed(digits)), Number(best.value.toFixed(digits))];
    return [
      {
        title: NAMES[id] ?? row.title,
        label,
        ours: show(ours),
        best: show(best.value),
        bestId: best.contender,
        times: b === 0 ? '–' : `${(a / b).toFixed(2)}x`,
        isAhead: better === 'lower' ? a <= b : a >= b,
        reason,
      },
    ];
  });
}
