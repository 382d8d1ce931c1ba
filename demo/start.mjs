// The door to main.ts, in plain JavaScript: a Node that can't run TypeScript can still say so.
if (process.features.typescript) await import('./main.ts');
else {
  console.error(`The demo runs on Node 24, which npm ci puts in place for npm scripts, and this is ${process.version}.
Run npm ci (without --ignore-scripts), then npm run demo.`);
  process.exitCode = 2;
}
