// How a daemon or command ends: the exit codes, and the error that carries one together with its one-line reason.
//
// Throw `ExitError` for what the operator must mend; any other error that reaches the top is a bug and gives 1.

/** Exit codes of every gingham program; documented in each `--help`. */
export const EXIT = {
  ok: 0,
  /** A bug or an unexpected failure. */
  internal: 1,
  /** A flag or variable is wrong. */
  usage: 2,
  /** Configuration that was read (etcd, file) is wrong. */
  config: 3,
  /** This machine cannot run it: no NET_ADMIN, no /dev/net/tun, a kernel feature is missing. */
  environment: 4,
  /** Another node really holds what this one held: its lease, its name. */
  conflict: 5,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends the program with `exitCode` after printing `message`, which is one line and says what to do. */
export class ExitError extends Error {
  override readonly name = 'ExitError';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/** The text of anything that was thrown, on one line, with the chain of causes. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.message.replaceAll(/\s*\n\s*/g, ' ');
  return error.cause === undefined ? own : `${own}: ${errorText(error.cause)}`;
}
