// The lab's long-running processes: started detached, recorded by pid and start time, signalled by record only.
//
// A record is written right after its process was started. Should a crash fall in between, `down` still finds the
// process: it lives in a namespace of the lab (`endNamespaceProcesses`).

import { spawn } from 'node:child_process';
import { closeSync, fstatSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { run } from '../ctl/child.ts';
import { poll } from '../ctl/poll.ts';
import { identifyProcess, isAlive, type ProcessIdentity, signalProcess } from '../ctl/process-identity.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';

/** How long an end by SIGKILL may take: the kernel still has to release sockets and devices. */
const END_TIMEOUT_MS = 5_000;
/** As much of a log's end as is read to say why a process ended. */
const LOG_TAIL_BYTES = 4_096;

const recordSchema = z.object({ pid: z.int().positive(), startTicks: z.number() });

/** A process that a machine of the lab has, whether it runs or not. */
export interface ProcessPlace {
  /** `node1/felix`. */
  readonly title: string;
  readonly name: string;
  readonly namespace: string;
  /** Its machine's folder, for the log and the record. */
  readonly folder: string;
}

export function logPath(place: ProcessPlace): string {
  return join(place.folder, `${place.name}.log`);
}

/** Starts `argv` in the place's namespace, detached from this program, output appended to its log. Throws `ExitError`. */
export function startProcess(place: ProcessPlace, argv: readonly string[], env: NodeJS.ProcessEnv): ProcessIdentity {
  const log = openSync(logPath(place), 'a', 0o644);
  const child = spawn('ip', ['netns', 'exec', place.namespace, ...argv], {
    cwd: place.folder,
    detached: true,
    env,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.on('error', () => undefined);
  child.unref();
  const identity = child.pid === undefined ? undefined : identifyProcess(child.pid);
  if (identity === undefined)
    throw new ExitError(EXIT.environment, `lab: cannot start ${place.title}: ${argv.join(' ')}`);
  recordProcess(place, identity);
  return identity;
}

/** Notes that this is the place's process: it was started here, or by a container engine. */
export function recordProcess(place: ProcessPlace, identity: ProcessIdentity): void {
  writeFileSync(recordPath(place), JSON.stringify(identity));
}

/** The place's process; `undefined` where none was started or it has ended. */
export function livingProcess(place: ProcessPlace): ProcessIdentity | undefined {
  const record = readRecord(place);
  return record !== undefined && isAlive(record) ? record : undefined;
}

/** Whether a process was ever started here. */
export function wasStarted(place: ProcessPlace): boolean {
  return readRecord(place) !== undefined;
}

/** Forgets the record of an ended process. */
export function forgetProcess(place: ProcessPlace): void {
  rmSync(recordPath(place), { force: true });
}

/** Waits until the very processes of these records are gone. False once the time is over. */
export async function ended(records: readonly ProcessIdentity[], timeoutMs: number): Promise<boolean> {
  const gone = await poll({ timeoutMs, intervalMs: 10 }, () => (records.some(isAlive) ? undefined : true));
  return gone === true;
}

/** Ends with SIGKILL every process that lives in one of these namespaces. Returns how many there were. */
export async function endNamespaceProcesses(namespaces: readonly string[]): Promise<number> {
  const listed = await Promise.all(
    namespaces.map((namespace) => run(['ip', 'netns', 'pids', namespace]).catch(() => '')),
  );
  const pids = listed.flatMap((text) =>
    text
      .split(/\s+/)
      .filter((word) => word !== '')
      .map(Number),
  );
  const found = pids.map(identifyProcess).filter((identity) => identity !== undefined);
  for (const identity of found) signalProcess(identity, 'SIGKILL');
  if (await ended(found, END_TIMEOUT_MS)) return found.length;
  const left = found.filter(isAlive).map((identity) => identity.pid);
  throw new ExitError(
    EXIT.internal,
    `lab: processes ${left.join(', ')} did not end within ${END_TIMEOUT_MS} ms of SIGKILL`,
  );
}

/** The last line that the process wrote, as a reason for its end; for pino's JSON its message. */
export function lastWords(place: ProcessPlace): string {
  const line = tail(logPath(place)).trim().split('\n').at(-1) ?? '';
  if (line === '') return 'it wrote nothing';
  try {
    const { msg, err } = JSON.parse(line) as { msg?: string; err?: { message?: string } };
    return [msg, err?.message].filter((part) => part !== undefined).join(': ') || line;
  } catch {
    return line;
  }
}

function recordPath(place: ProcessPlace): string {
  return join(place.folder, `${place.name}.process.json`);
}

function readRecord(place: ProcessPlace): ProcessIdentity | undefined {
  try {
    return recordSchema.parse(JSON.parse(readFileSync(recordPath(place), 'utf8')));
  } catch {
    return undefined;
  }
}

function tail(path: string): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return '';
  }
  const buffer = Buffer.alloc(LOG_TAIL_BYTES);
  const size = fstatSync(file).size;
  const length = readSync(file, buffer, 0, LOG_TAIL_BYTES, Math.max(0, size - LOG_TAIL_BYTES));
  closeSync(file);
  return buffer.toString('utf8', 0, length);
}
