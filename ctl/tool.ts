// What a program of the system prints: nft, ip, journalctl. A failure is a value with the program's own words.
// Not for programs that a person talks to: those have the terminal (child.ts).

import { execFile } from 'node:child_process';

const TIMEOUT_MS = 5_000;
/** A table with 100,000 routes is some 10 MB of text. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** Standard output of `program`, or why there is none in one line. */
export function textOf(
  program: string,
  args: readonly string[],
): Promise<{ readonly text: string } | { readonly problem: string }> {
  return new Promise((resolve) => {
    const options = { timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX };
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) return resolve({ text: stdout });
      const [said = ''] = stderr.trim().split('\n');
      const missing = (error as NodeJS.ErrnoException).code === 'ENOENT' ? `${program} is not installed` : undefined;
      resolve({ problem: missing ?? (said || error.message) });
    });
  });
}
