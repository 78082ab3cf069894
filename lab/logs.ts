// Shows what a lab's process wrote: from the beginning, and on request what it goes on to write.
//
// On a terminal pino's JSON becomes readable lines; elsewhere the bytes are passed on as they are.

import { open } from 'node:fs/promises';
import { prettyFactory } from 'pino-pretty';
import { pause, systemClock } from '../lib/run/clock.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { logPath, type ProcessPlace } from './lab-process.ts';

/** How often a followed log is looked at. */
const FOLLOW_MS = 200;
const CHUNK_BYTES = 65_536;

/** Writes the log to `out`; with `follow`, until the signal aborts. Throws `ExitError` where there is no log. */
export async function showLog(
  place: ProcessPlace,
  follow: boolean,
  out: NodeJS.WriteStream,
  signal: AbortSignal,
): Promise<void> {
  const path = logPath(place);
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new ExitError(EXIT.environment, `lab: ${place.title} has no log ${path}`, { cause });
  });
  const write = out.isTTY ? prettyLines(out) : (chunk: Buffer): void => void out.write(chunk);
  try {
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(CHUNK_BYTES), 0, CHUNK_BYTES);
      if (bytesRead > 0) write(buffer.subarray(0, bytesRead));
      else if (follow && !signal.aborted) await pause(systemClock, FOLLOW_MS, signal);
      else return;
    }
  } finally {
    await file.close();
  }
}

function prettyLines(out: NodeJS.WriteStream): (chunk: Buffer) => void {
  const pretty = prettyFactory({ colorize: true, ignore: 'pid,hostname' });
  let rest = '';
  return (chunk) => {
    const lines = (rest + chunk.toString()).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) out.write(line.startsWith('{') ? pretty(line) : `${line}\n`);
  };
}
