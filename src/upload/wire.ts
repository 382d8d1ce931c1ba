// The fast way of many bytes: GET without Node's HTTP client, whose layers make a new buffer for every 64 KiB, which takes
// several times the CPU of the reading itself. A connection here reads into one buffer that is used again. It knows the one
// kind of reply that a store gives nearly always, bytes whose number is told before, and says of any other that it isn't
// that: then the request goes the ordinary way.
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

/** As a URL has it: the port may be empty. */
export interface WireAddress {
  protocol: string;
  hostname: string;
  port: string;
}

export interface WireOptions {
  /** Without a byte for so long, a request fails. */
  idleTimeoutMs: number;
  connectTimeoutMs: number;
  /** Called for every request that was sent, with its reply's status, `none` if none came. */
  count: (code: string) => void;
}

export interface WireReply {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string>;
  /** Each piece is good until the next one is asked for. Must be iterated; to stop early drops the connection. */
  body: AsyncIterableIterator<Buffer>;
}

const BUFFER_BYTES = 256 * 1024;
const LONGEST_HEAD = 64 * 1024;
/** Stores close what is idle for longer, and a request must not meet that. Nor is its buffer worth keeping. */
const KEPT_MS = 4000;

/** Connections to one store, kept for the next request. */
export class Wires {
  readonly #address: WireAddress;
  readonly #options: WireOptions;
  readonly #idle: Wire[] = [];
  readonly #all = new Set<Wire>();

  constructor(address: WireAddress, options: WireOptions) {
    this.#address = address;
    this.#options = options;
  }

  /**
   * @param request its first line and headers, to the empty line behind them
   * undefined: the reply is of another kind. Throws the system's error.
   */
  async get(request: string, signal?: AbortSignal): Promise<WireReply | undefined> {
    signal?.throwIfAborted();
    for (;;) {
      const kept = this.#idle.pop();
      if (kept && !kept.isGood()) continue;
      const wire = kept ?? this.#connect();
      try {
        const { status, reply } = await wire.get(request, signal, () => this.#idle.push(wire));
        this.#options.count(String(status));
        return reply;
      } catch (error) {
        this.#options.count('none');
        // A connection that was kept may be closed just when it is used: nothing was said about this request.
        if (!kept || wire.hasAnswered || signal?.aborted) throw error;
      }
    }
  }

  destroy(): void {
    for (const wire of this.#all) wire.destroy();
  }

  #connect(): Wire {
    const wire = new Wire(this.#address, this.#options, () => this.#all.delete(wire));
    this.#all.add(wire);
    return wire;
  }
}

class Wire {
  readonly #socket: Socket;
  readonly #options: WireOptions;
  /** What came and nobody took, a piece of the one buffer. */
  #come: Buffer = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #closed = false;
  #error: Error | undefined;
  #keptAt = 0;
  hasAnswered = false;

  constructor({ protocol, hostname, port }: WireAddress, options: WireOptions, onClose: () => void) {
    this.#options = options;
    const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
    const onread = {
      buffer,
      // false: nothing more until it is asked for.
      callback: (length: number) => {
        this.#come = buffer.subarray(0, length);
        this.#stir();
        return false;
      },
    };
    const host = hostname.replace(/^\[|\]$/g, '');
    const isSecure = protocol === 'https:';
    const number = port === '' ? (isSecure ? 443 : 80) : Number(port);
    const address = { host, port: number, onread };
    // A server's name can't be an address.
    const secure = { ...(isIP(host) === 0 && { servername: host }), ALPNProtocols: ['http/1.1'] };
    this.#socket = isSecure ? connectTls({ ...address, ...secure }) : connect(address);
    this.#socket.setNoDelay(true);
    this.#socket.on('error', (error) => {
      this.#error = error;
      this.#stir();
    });
    this.#socket.on('timeout', () => this.destroy(silence()));
    for (const event of ['end', 'close'] as const)
      this.#socket.on(event, () => {
        this.#closed = true;
        onClose();
        this.#stir();
      });
    this.#socket.setTimeout(options.connectTimeoutMs);
    this.#socket.once(isSecure ? 'secureConnect' : 'connect', () => this.#socket.setTimeout(options.idleTimeoutMs));
  }

  isGood(): boolean {
    const good = !this.#closed && this.#error === undefined && this.#come.length === 0;
    if (good && performance.now() - this.#keptAt < KEPT_MS) return true;
    this.destroy();
    return false;
  }

  destroy(error?: Error): void {
    this.#socket.destroy(error);
  }

  /** @param release called when the connection can serve the next request */
  async get(
    request: string,
    signal: AbortSignal | undefined,
    release: () => void,
  ): Promise<{ status: number; reply: WireReply | undefined }> {
    this.hasAnswered = false;
    const abort = () => this.destroy(new DOMException('stopped', 'AbortError'));
    signal?.addEventListener('abort', abort, { once: true });
    const done = (isKept: boolean) => {
      signal?.removeEventListener('abort', abort);
      if (!isKept) return this.destroy();
      this.#keptAt = performance.now();
      this.#socket.setTimeout(KEPT_MS);
      release();
    };
    try {
      this.#socket.setTimeout(this.#socket.connecting ? this.#options.connectTimeoutMs : this.#options.idleTimeoutMs);
      this.#socket.write(request, 'latin1');
      const { status, headers } = await this.#readHead();
      const length = /^\d{1,15}$/.test(headers['content-length'] ?? '') ? Number(headers['content-length']) : undefined;
      const isPlain = headers['transfer-encoding'] === undefined && headers['content-encoding'] === undefined;
      if (status < 200 || length === undefined || !isPlain) {
        done(false);
        return { status, reply: undefined };
      }
      const body = this.#readBody(length, (isWhole) => done(isWhole && headers.connection?.toLowerCase() !== 'close'));
      return { status, reply: { status, headers, body } };
    } catch (error) {
      done(false);
      throw error;
    }
  }

  async #readHead(): Promise<{ status: number; headers: Record<string, string> }> {
    let text = '';
    for (;;) {
      const piece = await this.#read();
      if (!piece) throw Object.assign(new Error('the connection was closed'), { code: 'ECONNRESET' });
      this.hasAnswered = true;
      const before = text.length;
      text += piece.toString('latin1');
      const end = text.indexOf('\r\n\r\n');
      if (end !== -1) {
        // What came behind the head is the body's.
        this.#come = piece.subarray(end + 4 - before);
        return parseHead(text.slice(0, end));
      }
      if (text.length > LONGEST_HEAD) throw new Error('the reply begins with more than 64 KiB of headers');
    }
  }

  async *#readBody(length: number, done: (isWhole: boolean) => void): AsyncGenerator<Buffer> {
    let left = length;
    try {
      while (left > 0) {
        const piece = await this.#read();
        if (!piece) break;
        left -= piece.length;
        // More than was announced: nobody knows what it is.
        if (left < 0) break;
        yield piece;
      }
    } finally {
      done(left === 0);
    }
  }

  /** The next bytes, undefined at the end. */
  async #read(): Promise<Buffer | undefined> {
    while (this.#come.length === 0) {
      if (this.#error) throw this.#error;
      if (this.#closed) return undefined;
      const stirred = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#socket.resume();
      await stirred;
    }
    const piece = this.#come;
    this.#come = piece.subarray(piece.length);
    return piece;
  }

  #stir(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

function parseHead(text: string): { status: number; headers: Record<string, string> } {
  const [first = '', ...lines] = text.split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1] ?? Number.NaN);
  if (Number.isNaN(status)) throw Object.assign(new Error('what answers does not speak HTTP'), { code: 'EPROTO' });
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status, headers };
}

function silence(): Error {
  return Object.assign(new Error('no answer in time'), { name: 'TimeoutError' });
}
