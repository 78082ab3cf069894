// A recorded pid means one process, not whoever has that number today.
//
// On real processes.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { identifyProcess, isAlive, signalProcess } from '../../../ctl/process-identity.ts';

it('knows a living process and forgets an ended one', async () => {
  const child = spawn('sleep', ['60']);
  const record = identifyProcess(child.pid ?? 0);
  expect(record?.pid).toBe(child.pid);
  if (record === undefined) throw new Error('not identified');
  expect(isAlive(record)).toBe(true);
  expect(signalProcess(record, 'SIGKILL')).toBe(true);
  await once(child, 'exit');
  expect(isAlive(record)).toBe(false);
  expect(signalProcess(record, 'SIGKILL')).toBe(false);
});

it('never signals a process that merely has the pid', async () => {
  const child = spawn('sleep', ['60']);
  const living = identifyProcess(child.pid ?? 0);
  if (living === undefined) throw new Error('not identified');
  const reused = { pid: living.pid, startTicks: living.startTicks - 1 };
  expect(isAlive(reused)).toBe(false);
  expect(signalProcess(reused, 'SIGKILL')).toBe(false);
  expect(isAlive(living)).toBe(true);
  signalProcess(living, 'SIGKILL');
  await once(child, 'exit');
});

it('reads past a program name with blanks and brackets', async () => {
  const child = spawn('sleep', ['60'], { argv0: 'x) S 1 (' });
  expect(identifyProcess(child.pid ?? 0)?.startTicks).toBeGreaterThan(0);
  child.kill('SIGKILL');
  await once(child, 'exit');
});

it('finds nothing where there is no process', () => {
  expect(identifyProcess(2 ** 22 + 1)).toBeUndefined();
});
