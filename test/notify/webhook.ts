// A real HTTP server that takes messages, or does with them what servers do.
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'vitest';

export interface Received {
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
}

/** What becomes of a request: a status with headers, no answer, or a connection that is cut. */
export type Behaviour = { status: number; headers?: Record<string, string> } | 'hang' | 'drop';

export interface Webhook {
  url: string;
  received: Received[];
  /** For the next requests, in order; afterwards all are taken. */
  behaviours: Behaviour[];
  /** The JSON bodies. */
  messages(): Record<string, unknown>[];
}

const SECRET = 'T0PSECRETT0PIC';

export async function startWebhook({ onTestFinished }: Pick<TestContext, 'onTestFinished'>): Promise<Webhook> {
  const received: Received[] = [];
  const behaviours: Behaviour[] = [];
  const server: Server = createServer((request, reply) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      received.push({
        path: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      });
      const behaviour = behaviours.shift() ?? { status: 204 };
      if (behaviour === 'hang') return;
      if (behaviour === 'drop') request.socket.destroy();
      else reply.writeHead(behaviour.status, behaviour.headers).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/${SECRET}`,
    received,
    behaviours,
    messages: () => received.map(({ body }) => JSON.parse(body)),
  };
}

/** The part of the address that nobody may see. */
export const webhookSecret = SECRET;
