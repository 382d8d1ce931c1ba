// What the page shows at a moment: sections of HTML, each of which is sent anew only when it has changed. Times in them
// are left empty (see html.ts), so that an agent at rest always looks the same.
import { createHash } from 'node:crypto';
import { hideAccount } from '../endpoint.ts';
import { mood } from '../render.ts';
import type { Snapshot } from '../snapshot.ts';
import { viewAbout, viewFolders, viewSkipped } from './folders.ts';
import { spokenWords, titleOf, viewHeadline, viewReasons } from './headline.ts';
import type { Html } from './html.ts';
import { viewRecent } from './recent.ts';
import type { PageState } from './update.ts';
import { viewParked, viewUploading, viewWaiting } from './uploads.ts';

const views: Record<string, (snapshot: Snapshot) => Html> = {
  headline: viewHeadline,
  reasons: viewReasons,
  parked: viewParked,
  uploading: viewUploading,
  waiting: viewWaiting,
  recent: viewRecent,
  folders: viewFolders,
  skipped: viewSkipped,
  about: viewAbout,
};

export function viewState(snapshot: Snapshot): PageState {
  const sections = Object.fromEntries(
    Object.entries(views).map(([id, view]) => [id, hideAccount(view(snapshot).text)]),
  );
  const shown = { title: titleOf(snapshot), mood: mood(snapshot), spoken: spokenWords(snapshot), sections };
  const etag = createHash('sha256').update(JSON.stringify(shown)).digest('base64url').slice(0, 16);
  return { ...shown, etag };
}

/** The sections that differ from those before. */
export function changedSections(now: PageState, before: PageState | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(now.sections).filter(([id, text]) => before?.sections[id] !== text));
}
