// Shows that a broken build fails where it should: `node test/broken-builds/run.mjs`, as root, after a build.
//
// A broken build is a copy of dist/ in which one module is replaced by a file of a folder beside this one; the module itself stays
// in reach as <name>.sound.js. What is shipped knows nothing of it. Each build runs one scenario in a lab of its own.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');
const SCENARIO = 'test/broken-builds/scenario.yaml';

/** What each build must show: why the run could not go on, and the expectations that failed. */
const BUILDS = {
  sound: { failure: undefined, failed: [] },
  'bfd-off': { failure: undefined, failed: ['detected by bfd-down'] },
  'felix-skips-delete': { failure: /^routes .*: node1 still has a route to node2/, failed: [] },
  // node1 had a session with node2, and routes end with their session.
  'bgpd-ignores-withdraw': { failure: /^routes .*: node3 still has a route to node2/, failed: [] },
};

const only = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'gingham-broken-'));
let failures = 0;
try {
  for (const [name, expected] of Object.entries(BUILDS)) {
    if (only.length > 0 && !only.includes(name)) continue;
    const wrong = problemOf(runScenario(name), expected);
    if (wrong !== undefined) failures++;
    console.log(wrong === undefined ? `passed ${name}` : `FAILED ${name}: ${wrong}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failures === 0 ? 0 : 1;

/** The one run of the scenario, or what the lab said where it came to none. */
function runScenario(name) {
  const build = join(folder, name);
  makeBuild(name, build);
  const output = join(build, 'results.json');
  const lab = `broken${process.pid.toString(36)}`;
  const argv = [join(build, 'dist/lab/main.js'), '--name', lab, 'run', SCENARIO, '--output', output];
  const { stderr } = spawnSync(process.execPath, argv, { cwd: ROOT, encoding: 'utf8' });
  try {
    return JSON.parse(readFileSync(output, 'utf8')).scenarios[0].runs[0];
  } catch {
    return stderr;
  }
}

function makeBuild(name, build) {
  cpSync(join(ROOT, 'dist'), join(build, 'dist'), { recursive: true });
  for (const shared of ['node_modules', 'package.json', 'lab']) symlinkSync(join(ROOT, shared), join(build, shared));
  if (name === 'sound') return;
  const changed = join(import.meta.dirname, name);
  for (const entry of readdirSync(changed, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const own = join(entry.parentPath, entry.name);
    const module = join(build, 'dist', relative(changed, own).replace(/\.mjs$/, ''));
    renameSync(`${module}.js`, `${module}.sound.js`);
    cpSync(own, `${module}.js`);
  }
}

function problemOf(run, { failure, failed }) {
  if (typeof run === 'string') return `the lab made no results: ${run}`;
  const found = run.expectations.filter(({ passed }) => !passed).map(({ text }) => text);
  if (failure === undefined && run.failure !== undefined) return `it did not go through: ${run.failure}`;
  if (failure !== undefined && !failure.test(run.failure ?? ''))
    return `it went through, or broke elsewhere: ${run.failure}`;
  // What is expected of a run that broke off says nothing.
  if (failure === undefined && found.join() !== failed.join()) return `failed: ${found.join(', ') || 'nothing'}`;
  return undefined;
}
