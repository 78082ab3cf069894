// A network namespace that a sleeping process holds open: nothing is mounted, so it works in a container as well.
//
// It lives as long as the process, and is named by it: /proc/<pid>/ns/net.

import { type ChildProcess, spawn } from 'node:child_process';
import { readlink } from 'node:fs/promises';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { poll } from './poll.ts';

const NAMESPACE_TIMEOUT_MS = 5_000;

/** Starts the process; `detached` lets it outlive this one. Throws `ExitError` where no namespace can be made. */
export async function holdNamespace({ detached }: { readonly detached: boolean }): Promise<ChildProcess> {
  const holder = spawn('unshare', ['--net', '--', 'sleep', 'infinity'], {
    stdio: ['ignore', 'ignore', detached ? 'ignore' : 'pipe'],
    detached,
  });
  let complaint = '';
  holder.stderr?.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  const spawnFailure = new Promise<Error>((resolve) => holder.once('error', resolve));
  const own = await readlink('/proc/self/ns/net');
  const made = poll({ timeoutMs: NAMESPACE_TIMEOUT_MS, intervalMs: 5 }, async () => {
    if (holder.exitCode !== null) return false;
    const its = await readlink(`/proc/${holder.pid}/ns/net`).catch(() => own);
    return its === own ? undefined : true;
  });
  const outcome = await Promise.race([made, spawnFailure]);
  if (outcome === true) return holder;
  holder.kill('SIGKILL');
  const reason = outcome instanceof Error ? outcome.message : complaint.trim() || 'nothing was said';
  throw new ExitError(
    EXIT.environment,
    `gingham: cannot make the pod's network namespace (it takes CAP_SYS_ADMIN and util-linux): ${reason}`,
  );
}
