// What stands between an agent and a browser in real life: a proxy that keeps event streams to itself, one that cuts what
// is silent, ComfyUI's pass-through below a path of its own, another version of the agent behind the same address.
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

export interface ProxySettings {
  /** Gives event streams on when they have ended, so never. */
  buffers?: boolean;
  /** Cuts a reply that has been silent for so long. */
  cutsAfterMs?: number;
  /** Only what lies below is passed on, without it. */
  prefix?: string;
  /** Changes text on its way. */
  rewrite?: (text: string) => string;
}

export interface PageProxy {
  /** With a slash at the end. */
  url: string;
  /** May be changed while it runs. */
  settings: ProxySettings;
  /** Event streams asked for, and those that were cut. */
  streams: number;
  cut: number;
}

/** @param target the agent's address; asked for every request */
export async function startPageProxy(target: () => string, settings: ProxySettings = {}): Promise<PageProxy> {
  const proxy: PageProxy = { url: '', settings, streams: 0, cut: 0 };
  const server = createServer((incoming, outgoing) => pass(proxy, target(), incoming, outgoing));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${settings.prefix ?? ''}/`;
  onTestFinished(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return proxy;
}

function pass(proxy: PageProxy, target: string, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { prefix = '', buffers, cutsAfterMs, rewrite } = proxy.settings;
  const path = incoming.url ?? '/';
  if (!path.startsWith(`${prefix}/`)) return void outgoing.writeHead(404).end();
  // What is compressed can't be changed on its way.
  const plain = rewrite ? { 'accept-encoding': 'identity' } : {};
  const headers = { ...incoming.headers, ...plain, host: new URL(target).host };
  const call = request(target + path.slice(prefix.length), { method: incoming.method ?? 'GET', headers }, (reply) => {
    const type = reply.headers['content-type'] ?? '';
    const isStream = type.startsWith('text/event-stream');
    if (isStream) proxy.streams += 1;
    if (isStream && buffers) return void reply.resume();
    const change = rewrite && /^text|json|javascript/.test(type) ? rewrite : undefined;
    const { 'content-length': _, ...rest } = reply.headers;
    outgoing.writeHead(reply.statusCode!, change ? rest : reply.headers);
    outgoing.flushHeaders();
    let silence: NodeJS.Timeout | undefined;
    const listen = () => {
      clearTimeout(silence);
      if (cutsAfterMs === undefined || !isStream) return;
      silence = setTimeout(() => {
        proxy.cut += 1;
        outgoing.destroy();
      }, cutsAfterMs);
    };
    listen();
    reply.on('data', (chunk: Buffer) => {
      listen();
      outgoing.write(change ? change(chunk.toString()) : chunk);
    });
    reply.on('end', () => outgoing.end());
    reply.on('error', () => outgoing.destroy());
    outgoing.on('close', () => clearTimeout(silence));
  });
  call.on('error', () => outgoing.destroy());
  outgoing.on('close', () => call.destroy());
  incoming.pipe(call);
}
