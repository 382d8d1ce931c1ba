// WebM and MKV: one track of Opus packets full of noise, in clusters of a second.
import { hex, latin1, noise, u16, u32 } from './bytes.ts';

export interface WebmOptions {
  /** About so many bytes. */
  bytes?: number;
  seed?: number;
  docType?: 'webm' | 'matroska';
  /** `unknown` is what stands there while the file is written, and for ever in a live recording. */
  segmentSize?: 'known' | 'unknown';
}

const PACKETS_PER_CLUSTER = 50;

export function makeWebm(options: WebmOptions = {}): Buffer {
  const { bytes = 1500, seed = 1, docType = 'webm', segmentSize = 'known' } = options;
  const packetBytes = bytes < 100_000 ? 100 : 1000;
  const packets = Math.max(1, Math.round((bytes - 200) / (packetBytes + 9)));
  const parts = [makeInfo(packets), makeTracks()];
  for (let first = 0; first < packets; first += PACKETS_PER_CLUSTER) {
    const blocks = Array.from({ length: Math.min(PACKETS_PER_CLUSTER, packets - first) }, (_, index) => {
      const packet = noise(packetBytes, seed * 100_003 + first + index);
      packet[0] = 0xf8; // one frame of 20 ms, one channel
      return makeElement('a3', hex('81'), u16(index * 20), hex('80'), packet);
    });
    parts.push(makeElement('1f43b675', makeElement('e7', u32(first * 20)), ...blocks));
  }
  const body = Buffer.concat(parts);
  return Buffer.concat([
    makeElement(
      '1a45dfa3',
      ...['42868101', '42f78101', '42f28104', '42f38108'].map(hex),
      makeElement('4282', latin1(docType)),
      ...['42878104', '42858102'].map(hex),
    ),
    hex('18538067'),
    segmentSize === 'known' ? encodeSize(body.length) : hex('01ffffffffffffff'),
    body,
  ]);
}

function makeInfo(packets: number): Buffer {
  const duration = Buffer.alloc(8);
  duration.writeDoubleBE(packets * 20);
  return makeElement(
    '1549a966',
    makeElement('2ad7b1', u32(1_000_000)),
    makeElement('4489', duration),
    makeElement('4d80', latin1('r2-sync test')),
    makeElement('5741', latin1('r2-sync test')),
  );
}

function makeTracks(): Buffer {
  const opusHead = Buffer.concat([latin1('OpusHead'), hex('01 01 0000 80bb0000 0000 00')]);
  const rate = Buffer.alloc(4);
  rate.writeFloatBE(48_000);
  const audio = makeElement('e1', makeElement('b5', rate), hex('9f8101'));
  const codec = [makeElement('86', latin1('A_OPUS')), makeElement('63a2', opusHead)];
  return makeElement(
    '1654ae6b',
    makeElement('ae', hex('d78101'), hex('73c58101'), hex('838102'), hex('9c8100'), ...codec, audio),
  );
}

function makeElement(id: string, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([hex(id), encodeSize(body.length), body]);
}

/** Eight bytes, as writers do that patch it later. */
function encodeSize(size: number): Buffer {
  return Buffer.concat([hex('01000000'), u32(size)]);
}
