// Which outputs a browser may be given as they are, and as what. A table and nothing else decides: never a type that can
// hold script (HTML, SVG) or that a browser would show as text.
import { extensionOf, type RelPath } from '../../paths.ts';

export interface MediaKind {
  shownAs: 'image' | 'video' | 'audio';
  contentType: string;
}

const kinds: Record<string, MediaKind> = {
  '.png': { shownAs: 'image', contentType: 'image/png' },
  '.apng': { shownAs: 'image', contentType: 'image/apng' },
  '.jpg': { shownAs: 'image', contentType: 'image/jpeg' },
  '.jpeg': { shownAs: 'image', contentType: 'image/jpeg' },
  '.webp': { shownAs: 'image', contentType: 'image/webp' },
  '.gif': { shownAs: 'image', contentType: 'image/gif' },
  '.avif': { shownAs: 'image', contentType: 'image/avif' },
  '.bmp': { shownAs: 'image', contentType: 'image/bmp' },
  '.mp4': { shownAs: 'video', contentType: 'video/mp4' },
  '.m4v': { shownAs: 'video', contentType: 'video/mp4' },
  '.mov': { shownAs: 'video', contentType: 'video/mp4' },
  '.webm': { shownAs: 'video', contentType: 'video/webm' },
  '.mp3': { shownAs: 'audio', contentType: 'audio/mpeg' },
  '.wav': { shownAs: 'audio', contentType: 'audio/wav' },
  '.flac': { shownAs: 'audio', contentType: 'audio/flac' },
  '.ogg': { shownAs: 'audio', contentType: 'audio/ogg' },
  '.opus': { shownAs: 'audio', contentType: 'audio/ogg' },
  '.m4a': { shownAs: 'audio', contentType: 'audio/mp4' },
  '.aac': { shownAs: 'audio', contentType: 'audio/aac' },
};

/** undefined: not to be shown in a browser. */
export function mediaKindOf(path: RelPath): MediaKind | undefined {
  return Object.hasOwn(kinds, extensionOf(path)) ? kinds[extensionOf(path)] : undefined;
}

/** The version of a file in `/media?v=`: with it, what was fetched once is never asked for again. */
export function mediaVersion(sha256: string): string {
  return sha256.slice(0, 16);
}
