// The recording on the README's first screen: types it again and compares; with --record the page gets what was printed.
//
// `node test/readme.mjs [--record]`, after a build. The lab has a name of its own here, in place of `npm run -s lab`'s default:
// two runs do not meet, and nobody's lab is taken down.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePage, renderPage, runPage } from './compose/lab-page.mjs';
import { run } from './compose/process.mjs';

const ROOT = join(import.meta.dirname, '..');
const PAGE = join(ROOT, 'README.md');
const LAB = `readme${process.pid.toString(36)}`;
const NODE = process.execPath;
const MAIN = join(ROOT, 'dist/lab/main.js');

const record = process.argv.includes('--record');
const parts = parsePage(readFileSync(PAGE, 'utf8'));
const shellLines = `npm() {
  [ "$1 $2 $3 $4" = 'run -s lab --' ] || { echo "not of the recording: npm $*"; return 2; }
  shift 4
  '${NODE}' '${MAIN}' --name ${LAB} "$@" < /dev/null 2>&1 | sed 's/${LAB}/default/g'
}`;
try {
  // To ask again would not be to begin, or to end, again.
  const once = (command) => / (up|down)$/.test(command);
  await runPage(parts, { folder: ROOT, shellLines, env: process.env, record, once });
  if (record) writeFileSync(PAGE, renderPage(parts));
  console.log(`${parts.filter(({ command }) => command !== undefined).length} commands print what README.md shows`);
} finally {
  await run(NODE, [MAIN, '--name', LAB, 'down']);
}
