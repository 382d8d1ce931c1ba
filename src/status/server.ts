// The agent's HTTP side: on which address it listens. It never stops the agent: a port that is taken is tried again until
// it is free.
import type { Server } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import { errorCode, errorText } from '../errors.ts';
import { type AppOptions, createApp } from './app.ts';
import { agentUrl, bareHost } from './client.ts';
import { Feed } from './feed.ts';
import { viewState } from './page/state.ts';

export interface StatusOptions extends AppOptions {
  /** 0 takes any free port. */
  port: number;
}

export interface StatusServer {
  /** Where the page is, for people on this machine; undefined while it isn't listening. */
  readonly url: string | undefined;
  /** Why it isn't listening and what to do, for people. */
  readonly trouble: string | undefined;
  /** Stops listening and drops what is open. */
  close(): Promise<void>;
}

/** Milliseconds between two attempts to listen. */
const retryMs = { first: 1_000, last: 60_000 };

/** What keeps a server from listening, by the system's code. */
const listenTroubles: Record<string, (options: StatusOptions) => string> = {
  EADDRINUSE: ({ host, port }) =>
    `port ${port} on ${host} is taken. Stop the program that has it, or choose another port: r2-sync config set R2_STATUS_PORT=8191 on the pod (0: no page).`,
  EACCES: ({ port }) =>
    `this user may not listen on port ${port}. Choose a port above 1023 with R2_STATUS_PORT (0: no page).`,
  EADDRNOTAVAIL: notOurs,
  ENOTFOUND: notOurs,
  EAI_AGAIN: notOurs,
};

/** Starts to listen and goes on trying until it can; returns at once. */
export function startStatusServer(options: StatusOptions): StatusServer {
  const { clock, log } = options;
  const closing = new AbortController();
  const feed = new Feed({
    view: () => viewState(options.snapshot()),
    clock,
    onError: (error) => log.error(`The status page can't be kept up to date: ${errorText(error)}`),
  });
  const server = createAdaptorServer({
    fetch: createApp(options, feed).fetch,
    overrideGlobalObjects: false,
  }) as Server;
  let url: string | undefined;
  let trouble: string | undefined;

  const keepTrying = async () => {
    for (let waitMs = retryMs.first; !closing.signal.aborted; waitMs = Math.min(waitMs * 2, retryMs.last)) {
      try {
        await listen(server, bareHost(options.host), options.port);
      } catch (error) {
        const text = describeListenTrouble(error, options);
        if (text !== trouble) log.warn(text);
        trouble = text;
        await clock.sleep(waitMs, closing.signal);
        continue;
      }
      if (closing.signal.aborted) return;
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : options.port;
      url = `${agentUrl(options.host, port)}/`;
      trouble = undefined;
      // What goes wrong from here on belongs to one connection.
      server.on('error', (error) => log.warn(`The status page had an error: ${errorText(error)}`));
      log.info(`The status page is at ${url}`);
      return;
    }
  };
  const trying = keepTrying();

  return {
    get url() {
      return url;
    },
    get trouble() {
      return trouble;
    },
    async close() {
      closing.abort();
      feed.close();
      await trying;
      url = undefined;
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function describeListenTrouble(error: unknown, options: StatusOptions): string {
  const describe = listenTroubles[errorCode(error) ?? ''];
  const cause = describe?.(options) ?? `${errorText(error)}. Check R2_STATUS_HOST and R2_STATUS_PORT.`;
  return `The status page can't start: ${cause} Uploads go on; it is tried again, at least every minute.`;
}

function notOurs({ host }: StatusOptions): string {
  return `${host} is no address of this machine. Set R2_STATUS_HOST to one, or to 0.0.0.0 for all.`;
}
