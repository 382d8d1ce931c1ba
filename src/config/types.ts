// The words of the configuration: what goes in, what comes out.

/** How messages are written. */
export type WebhookFormat = 'json' | 'discord' | 'slack' | 'ntfy';

/** Settings by name, as text: an environment, or what `readSettings` made of several sources. */
export type Settings = Readonly<Record<string, string | undefined>>;

/** What the agent needs to be visible, even while everything else is wrong. */
export interface StatusSettings {
  statusHost: string;
  /** 0: no server. */
  statusPort: number;
  statusToken?: string;
  logLevel: string;
  /** Absolute. Where the settings files of this machine live. */
  runDir: string;
  webhookUrl?: URL;
  webhookFormat: 'auto' | WebhookFormat;
  webhookAfterSeconds: number;
}

/** Everything the agent can be told, checked and in its own units. */
export interface Config extends StatusSettings {
  /** Origin, without a slash at the end; a loopback endpoint may have a path. '' where no store is needed. */
  endpoint: string;
  bucket: string;
  /** '' where no store is needed. */
  accessKeyId: string;
  /** '' where no store is needed. */
  secretAccessKey: string;
  sessionToken?: string;
  /** Absolute. */
  outputDir: string;
  /** Absolute. Undefined: `.r2-sync` in the root. */
  stateDir?: string;
  keyTemplate: string;
  /** A time zone that Intl knows. */
  timezone: string;
  /** Lower case, without a dot. */
  extensions: ReadonlySet<string>;
  /** Globs, relative to the output directory. */
  exclude: readonly string[];
  concurrency: number;
  /** 1,000,000 bits per second. Undefined: no limit. */
  bandwidthMbps?: number;
  scanSeconds: number;
  quietSeconds: number;
  writers: 'local' | 'remote';
  existing: 'upload' | 'skip';
  /** 1,000,000 bytes. Undefined: no limit. */
  maxMb?: number;
  foreignSeconds: number;
  lease: boolean;
  leaseSeconds: number;
  drainSeconds: number;
  /** Minutes; 0: none. */
  webhookDigest: number;
  /** 1,000,000 bytes; 0: never warn. Undefined: a share of the volume. */
  lowSpaceMb?: number;
  /** Program and arguments. */
  onStored?: readonly string[];
  onStoredSeconds: number;
}

/** A mistake in the settings. Holds no secret. */
export interface Problem {
  /** The setting's first name, whichever of its names was used. */
  name: string;
  /** What is wrong, with which setting. */
  message: string;
  /** What to do about it. */
  fix: string;
}

export interface Loaded {
  /** Undefined when there are problems. */
  config: Config | undefined;
  /** Always usable: a status setting that is wrong has its default here. */
  partial: StatusSettings;
  problems: readonly Problem[];
  /** Mistakes in settings that no file depends on: they count as unset. */
  asides: readonly Problem[];
  warnings: readonly string[];
  /** Every value that must never be shown, for the log's redaction. */
  secrets: readonly string[];
}
