// Writes docs/configuration.md from the table of settings. `npm test` fails while it isn't current.
import { mkdirSync, writeFileSync } from 'node:fs';
import { configurationPage } from '../src/config/document.ts';

const docs = new URL('../docs/', import.meta.url);
mkdirSync(docs, { recursive: true });
writeFileSync(new URL('configuration.md', docs), configurationPage());
