// Which process a recorded pid means: pids are used again, so a record holds the start time as well.
//
// A record whose start time differs from the living process's is a record of something that has ended.

import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks from boot to the process's start: field 22 of /proc/<pid>/stat (proc(5)). */
  readonly startTicks: number;
}

/** The identity of the process that has this pid now; `undefined` where none has, or only a zombie. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined;
  }
  // The second field is the program's name in brackets and may hold anything, blanks and brackets too.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, startTicks] = [fields[0], Number(fields[19])];
  return state === 'Z' || state === 'X' ? undefined : { pid, startTicks };
}

/** Whether the very process of this record still runs. */
export function isAlive(record: ProcessIdentity): boolean {
  return identifyProcess(record.pid)?.startTicks === record.startTicks;
}

/** Sends a signal to the very process of this record; false where it has ended. */
export function signalProcess(record: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isAlive(record)) return false;
  try {
    return process.kill(record.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
