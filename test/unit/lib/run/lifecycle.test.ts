// The life of a daemon process, watched from outside: what ends it, with which code, and that a stop is not cut short.
//
// Each daemon is a real process over the built code in dist/, since signals and exit codes belong to a process.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../../../eventually.ts';

const DIST = join(import.meta.dirname, '../../../../dist/lib/run');

let folder: string;

/** A daemon whose `start` has this body; it prints the log to standard output. */
async function daemon(body: string): Promise<{ child: ChildProcess; output: () => string }> {
  const file = join(folder, `${Math.random().toString(36).slice(2)}.mjs`);
  const source = `
    import { runDaemon } from '${DIST}/lifecycle.js';
    import { EXIT, ExitError } from '${DIST}/exit.js';
    import { createLogger } from '${DIST}/log.js';
    const log = createLogger('testd', 'info');
    await runDaemon(log, async (context) => { ${body} });`;
  await writeFile(file, source);
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return { child, output: () => text };
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  const [code] = (await once(child, 'close')) as [number | null];
  return code;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gh-life-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('runDaemon', () => {
  it('ends with the code of an ExitError from start, in one line that says why', async () => {
    const { child, output } = await daemon(`throw new ExitError(EXIT.environment, 'no NET_ADMIN');`);
    expect(await exitOf(child)).toBe(4);
    const lines = output().trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([{ msg: 'no NET_ADMIN', exitCode: 4 }]);
  });

  it('stops in order on SIGTERM, and a second signal does not cut that short', async () => {
    const { child, output } = await daemon(`
      const alive = setInterval(() => undefined, 1000);
      setTimeout(() => log.info('started'));
      return { async stop() {
        process.kill(process.pid, 'SIGTERM');
        await new Promise((resolve) => setTimeout(resolve, 50));
        clearInterval(alive);
        log.info('stopped in order');
      } };`);
    const exited = exitOf(child);
    await eventually('it has started', () => output().includes('started'));
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    expect(output()).toContain('stopped in order');
  });

  it('ends with 1 on a failure that nobody expected', async () => {
    const { child, output } = await daemon(
      `setTimeout(() => { throw new Error('bug'); }); return { async stop() {} };`,
    );
    expect(await exitOf(child)).toBe(1);
    expect(output()).toContain('unexpected failure');
  });
});
