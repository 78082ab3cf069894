// What a lab writes down about itself, before it makes anything: so that `down` can clear whatever a crash left.
//
//   /run/gingham-lab/<lab>/lab.json            options and how far `up` got
//                          lock                who is changing the lab
//                          etcd/               etcd's data, socket, log, process record
//                          node1/              run folder of the node's daemons, their logs and process records
//
// /run is memory: nothing survives a reboot, as no namespace does.

import { link, mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { identifyProcess, isAlive } from '../ctl/process-identity.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { labOptionsSchema } from './options.ts';

export const STATE_ROOT = '/run/gingham-lab';

const labRecordSchema = z.object({
  /** `making` until everything was started once: an interrupted `up` left it so. */
  phase: z.enum(['making', 'running']),
  options: labOptionsSchema,
  /** The file that the lab was made from, as it was; absent where the options say it all. */
  source: z.strictObject({ path: z.string(), text: z.string() }).exactOptional(),
  createdUnixMs: z.number(),
});
export type LabRecord = Readonly<z.infer<typeof labRecordSchema>>;

const LOCK = 'lock';
const LOCK_ATTEMPTS = 20;
const lockSchema = z.object({ pid: z.int(), startTicks: z.number(), command: z.string() });

/** The folder of a lab's state. */
export function labFolder(lab: string): string {
  return join(STATE_ROOT, lab);
}

/** The folder of one machine: run folder, logs, process records. */
export function machineFolder(lab: string, machine: string): string {
  return join(labFolder(lab), machine);
}

/** The lab's record; `undefined` where there is no lab, `'unreadable'` where something else wrote the file. */
export async function readLabRecord(lab: string): Promise<LabRecord | 'unreadable' | undefined> {
  let text: string;
  try {
    text = await readFile(join(labFolder(lab), 'lab.json'), 'utf8');
  } catch (error) {
    // The record is written before anything is made: without one there is no lab.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const parsed = labRecordSchema.safeParse(parseJson(text));
  return parsed.success ? parsed.data : 'unreadable';
}

/** Replaces the lab's record in one step. */
export async function writeLabRecord(lab: string, record: LabRecord): Promise<void> {
  const path = join(labFolder(lab), 'lab.json');
  await writeFile(`${path}.new`, `${JSON.stringify(record)}\n`);
  await rename(`${path}.new`, path);
}

/** Removes all of a lab's state but the lock, which its holder removes. */
export async function clearLabState(lab: string): Promise<void> {
  const entries = await readdir(labFolder(lab)).catch(() => []);
  const paths = entries.filter((entry) => entry !== LOCK).map((entry) => join(labFolder(lab), entry));
  await Promise.all(paths.map((path) => rm(path, { recursive: true, force: true })));
}

/** Names of the labs that have state. */
export async function labNames(): Promise<readonly string[]> {
  return readdir(STATE_ROOT).catch(() => []);
}

/**
 * Holds the lab while `work` changes it. Throws `ExitError` where a living process holds it; the lock of a dead one is
 * taken over. Folders that are empty afterwards are removed, so that a lab that is gone leaves none.
 */
export async function withLabLock<T>(lab: string, command: string, work: () => Promise<T>): Promise<T> {
  const path = join(labFolder(lab), LOCK);
  await takeLock(lab, path, command);
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
    // rmdir refuses where there is anything.
    await rmdir(labFolder(lab)).catch(() => undefined);
    await rmdir(STATE_ROOT).catch(() => undefined);
  }
}

async function takeLock(lab: string, path: string, command: string): Promise<void> {
  const draft = `${path}.${process.pid}`;
  for (let attempt = 0; attempt < LOCK_ATTEMPTS; attempt++) {
    await mkdir(labFolder(lab), { recursive: true, mode: 0o755 });
    try {
      await writeFile(draft, JSON.stringify({ ...identifyProcess(process.pid), command }));
      // A link appears with its content and fails where there is a file: nobody ever reads half a lock.
      await link(draft, path);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // ENOENT: the holder before us removed the empty folder between our two steps.
      if (code !== 'EEXIST' && code !== 'ENOENT') throw error;
      await clearDeadLock(lab, path);
    } finally {
      await rm(draft, { force: true });
    }
  }
  throw new ExitError(EXIT.conflict, `lab: cannot take ${path}: others take it all the time`);
}

async function clearDeadLock(lab: string, path: string): Promise<void> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const holder = lockSchema.safeParse(parseJson(text));
  if (holder.success && isAlive(holder.data)) {
    const { command, pid } = holder.data;
    throw new ExitError(
      EXIT.conflict,
      `lab: ${lab} is being changed by "lab ${command}" (process ${pid}): let it end first`,
    );
  }
  await rm(path, { force: true });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
