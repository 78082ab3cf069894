// Running other programs: collect what they print, or hand them the terminal.
//
// For the lab and the gingham command only. The daemons never start a program: they speak to the kernel themselves.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';

/** How a program failed: it could not be started, or it ended with another code than 0. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly argv: readonly string[];
  /** Absent where it could not be started. */
  readonly exitCode: number | undefined;

  constructor(argv: readonly string[], exitCode: number | undefined, reason: string, options?: ErrorOptions) {
    super(`${argv.slice(0, 8).join(' ')}${argv.length > 8 ? ' ...' : ''}: ${reason}`, options);
    this.argv = argv;
    this.exitCode = exitCode;
  }
}

export interface RunOptions {
  /** Written to its standard input, which is empty otherwise. */
  readonly input?: string;
  readonly signal?: AbortSignal;
}

/** Runs `argv` to its end and gives its standard output. Rejects with `CommandError` unless it ends with code 0. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const [file = '', ...args] = argv;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'], ...signalOption(options.signal) });
    const output: Buffer[] = [];
    const complaints: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => complaints.push(chunk));
    // A program that ends without reading its input breaks the pipe; its exit code says what happened.
    child.stdin.on('error', () => undefined);
    child.once('error', (cause) => reject(new CommandError(argv, undefined, cause.message, { cause })));
    child.once('close', (code, killedBy) => {
      if (code === 0) return resolve(Buffer.concat(output).toString());
      const said = Buffer.concat(complaints)
        .toString()
        .trim()
        .replaceAll(/\s*\n\s*/g, '; ');
      reject(new CommandError(argv, code ?? undefined, said || (code === null ? `${killedBy}` : `exit code ${code}`)));
    });
    child.stdin.end(options.input ?? '');
  });
}

/**
 * Runs `argv` on this program's own terminal and gives the code to exit with: the program's, or 128 + the number of
 * the signal that ended it. Signals from the terminal reach the program directly and are left to it.
 */
export function runOnTerminal(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const [file = '', ...args] = argv;
  const leaveToChild = (): void => undefined;
  process.on('SIGINT', leaveToChild);
  return new Promise<number>((resolve, reject) => {
    const child = spawn(file, args, { stdio: 'inherit', env });
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
    process.once('SIGTERM', pass);
    child.once('error', (cause) => reject(new CommandError(argv, undefined, cause.message, { cause })));
    child.once('close', (code, killedBy) => {
      process.off('SIGTERM', pass);
      resolve(code ?? 128 + (killedBy === null ? 0 : constants.signals[killedBy]));
    });
  }).finally(() => process.off('SIGINT', leaveToChild));
}

function signalOption(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
