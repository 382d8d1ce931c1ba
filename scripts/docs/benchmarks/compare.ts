// Is r2-sync ahead of every contender? By figure, with the reason where it isn't.
import type { PublishedRow, PublishedRun } from '../../../bench/support/published.ts';

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

const LEAST = 'One PUT a file is the least there is.';
const NONE = 'None may be.';
const AS_ABOVE = 'As above.';
const AS_DOUBLE = 'As for the double.';
const HELD =
  'Bodies of up to 8 MiB are held, four at a time, in a Node process: a program in C or Go, or one file after the other, needs less.';

/** Row → metric → why we may be behind in it. The rows and metrics in the order in which they are shown. */
const REASONS: Record<string, Record<string, string>> = {
  latency: {
    p50: 'Before it sends, r2-sync asks /proc whether a writer still has the file open, hashes, and reads the file’s identity again; the others send what they are told of.',
    p99: 'The longest waits are those of a scan or of the ledger on the same two cores.',
    cpu: 'At five files a second the agent’s scans and its start-up code count as much as its files; the more files, the smaller that share (see the burst).',
    requests: LEAST,
    lost: NONE,
  },
  burst: {
    rate: 'Hashing, /proc and the ledger take their share of two cores that writer and store need, too.',
    cpu: 'The files’ bytes are hashed in full before they are sent; a contender that sends unsigned or part-signed bodies hashes less.',
    peak: HELD,
    requests: LEAST,
    twice: NONE,
    lost: NONE,
  },
  'new-folders': {
    lost: NONE,
    p50: 'Files that no hint announces are found by looking into the new folder, a moment later. The others don’t find those at all: their p50 is of what they didn’t lose.',
    p99: 'As above: a file that is found late counts here, one that is lost doesn’t.',
  },
  small: {
    rate: 'For a small file the work isn’t in its bytes but around them: identity, lease, ledger, one request. s5cmd and rclone are compiled programs that do none of the former.',
    cpu: 'As above: what is done once a file outweighs its bytes.',
    peak: 'What is known of files that wait, in a Node process.',
    requests: LEAST,
    lost: NONE,
  },
  large: {
    rate: 'A large file is read and hashed in full, whole and by parts, before its name is known, and only then read again and sent: that is what makes a torn object impossible. The others read it once, and hash and send at the same time.',
    cpu: 'As above: its bytes are read twice, and hashed as a whole and by parts.',
    peak: 'Two parts of 8 MiB, in a Node process.',
    requests: 'A HEAD before (the bytes may be there already), and parts of 8 MiB or more, which bound memory.',
  },
  videos: {
    megabytes:
      'Large files go one at a time, with two parts on their way, so that pictures have the line to themselves; and while one is hashed, nothing is sent.',
    cpu: 'As for one large file.',
    peak: 'As for one large file.',
    requests: 'As for one large file.',
    lost: NONE,
  },
  folders: {
    rate: 'Each folder needs a lease first: a claim on the volume, synced to the disk.',
    cpu: AS_ABOVE,
    requests: LEAST,
    lost: NONE,
  },
  distance: {
    rate: 'With a round trip of 50 ms the number of files at a time decides: four here (R2_CONCURRENCY), s5cmd has 256 workers. Raise R2_CONCURRENCY on a far store.',
    faulty: AS_ABOVE,
    cpu: 'As for many pictures at once.',
    requests: 'One PUT a file, and one more for each that failed.',
    lost: NONE,
  },
  drain: {
    left: NONE,
    seconds: 'It waits for what is under way, and for what was written a moment before.',
  },
  'real-latency': { p50: AS_DOUBLE, p99: AS_DOUBLE, cpu: AS_DOUBLE, requests: LEAST, lost: NONE },
  'real-burst': {
    rate: 'As for the double: the server shares the two cores, and takes the larger part.',
    cpu: AS_DOUBLE,
    peak: AS_DOUBLE,
    requests: LEAST,
    twice: NONE,
    lost: NONE,
  },
  requests: {
    perFile: LEAST,
    beyond: 'The first object after a start is confirmed by one HEAD: whoever answers may not be a store at all.',
    idle: 'No request while nothing changes.',
  },
  idle: {
    memory: 'r2-sync holds what it knows of 20,000 files; the contender knows nothing.',
    cpu: 'r2-sync looks at its directories every 10 s and beats its leases; the contender sleeps, and would miss what no event announces.',
    requests: 'No request while nothing changes.',
  },
  leases: {
    cpu: 'r2-sync keeps the leases of 50 folders alive on the volume; the contender has none, and two of it would upload everything twice.',
    memory: 'A Node process, with what it knows of leases and files.',
    requests: 'No request while nothing changes.',
  },
};
const BETTER_IF_HIGHER: ReadonlySet<string> = new Set(['rate', 'megabytes', 'faulty']);
/** Not ours, or a share of the contender's own. */
const NOT_COMPARED: ReadonlySet<string> = new Set(['storeCpu', 'share']);

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
  drain: 'SIGTERM right after ten pictures',
  requests: 'files of all sizes',
  idle: 'nothing to do',
  leases: 'fifty leases, nothing to do',
};

/** Who loses files sends less, works less and ends sooner: these figures aren't compared with theirs. */
const CHEAPER_BY_LOSS: ReadonlySet<string> = new Set(['requests', 'cpu', 'peak', 'seconds']);
const OURS: readonly ContenderId[] = ['agent', 'agent-plain'];

function rivalsIn({ contenders }: Pick<PublishedRow, 'contenders'>): ContenderId[] {
  return contenders.filter((contender) => contender !== 'floor' && !OURS.includes(contender));
}

/** The figures of a row that r2-sync shares with others, in order. Throws for one that no reason is given for. */
export function comparedMetrics(row: Pick<PublishedRow, 'id' | 'metrics' | 'contenders'>): string[] {
  if (rivalsIn(row).length === 0) return [];
  const reasons = Object.keys(REASONS[row.id] ?? {});
  const forgotten = Object.keys(row.metrics).filter((metric) => !reasons.includes(metric) && !NOT_COMPARED.has(metric));
  if (forgotten.length > 0)
    throw new Error(`${row.id}: no reason is given for being behind in ${forgotten.join(', ')}`);
  return reasons;
}

export function compareWithOthers(run: PublishedRun): Place[] {
  return run.rows.flatMap((row) => comparedMetrics(row).flatMap((metric) => compareOne(row, metric)));
}

function compareOne(row: PublishedRow, metric: string): Place[] {
  const ours = row.figures.agent?.[metric]?.value;
  if (typeof ours !== 'number') return [];
  const loses = (contender: ContenderId) => {
    const figures = row.figures[contender];
    return ((figures?.lost ?? figures?.left)?.value ?? 0) > 0;
  };
  const isLower = !BETTER_IF_HIGHER.has(metric);
  const best = rivalsIn(row)
    .filter((contender) => !CHEAPER_BY_LOSS.has(metric) || !loses(contender))
    .flatMap((contender) => {
      const value = row.figures[contender]?.[metric]?.value;
      return typeof value === 'number' ? [{ contender, value }] : [];
    })
    .sort((a, b) => (isLower ? a.value - b.value : b.value - a.value))[0];
  if (best === undefined) return [];
  const { label, unit, digits } = row.metrics[metric]!;
  const show = (value: number) => `${value.toFixed(digits)}${unit === '' ? '' : ` ${unit}`}`;
  // What the page shows as equal is level.
  const [a, b] = [Number(ours.toFixed(digits)), Number(best.value.toFixed(digits))];
  return [
    {
      title: NAMES[row.id] ?? row.title,
      label,
      ours: show(ours),
      best: show(best.value),
      bestId: best.contender,
      times: b === 0 ? '–' : `${(a / b).toFixed(2)}x`,
      isAhead: isLower ? a <= b : a >= b,
      reason: REASONS[row.id]![metric]!,
    },
  ];
}
