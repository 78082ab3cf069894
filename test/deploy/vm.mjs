// A machine for the deploy test: a Debian root with its own systemd, booted in a network namespace of its own.
//
// systemd-nspawn boots it; nothing is shared with other machines but the wire. Its root is an overlay over one tree, so
// that all that is installed goes with the machine.

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { run, until } from '../compose/process.mjs';

/**
 * Boots a machine whose network is the namespace `netns`; `shared` are folders that it sees read-only, by their path
 * there. Gives what runs a command in it, and what ends it.
 */
export async function bootMachine({ name, root, netns, shared }) {
  const binds = Object.entries(shared).map(([path, source]) => `--bind-ro=${source}:${path}`);
  const args = [
    ...['--quiet', `--directory=${root}`, '--volatile=overlay', `--machine=${name}`, '--boot', '--register=no'],
    ...['--keep-unit', '--console=pipe', `--network-namespace-path=/run/netns/${netns}`],
    ...['--capability=CAP_NET_ADMIN,CAP_NET_RAW', '--bind=/dev/net/tun', ...binds],
  ];
  const child = spawn('systemd-nspawn', args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
  const ended = new Promise((resolve) => child.once('close', resolve));
  const leader = await until(`the first process of ${name}`, 30, () => {
    if (child.exitCode !== null) throw new Error(`systemd-nspawn ended: ${said}`);
    const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim().split(' ');
    return children.find((pid) => pid !== '' && isFirstProcess(pid));
  });
  /** Runs a command in the machine as root and gives its standard output. */
  const inside = (command, options = {}) =>
    run('nsenter', ['-t', leader, '--mount', '--uts', '--ipc', '--net', '--pid', '--', 'sh', '-c', command], {
      env: { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
      ...options,
    });
  const booted = async () => {
    const state = (await inside('systemctl is-system-running || true')).trim();
    return ['running', 'degraded'].includes(state) ? true : undefined;
  };
  await until(`${name} has booted`, 60, booted);
  return {
    name,
    inside,
    async end() {
      // SIGTERM asks nspawn for an orderly end of what it booted (systemd-nspawn(1)).
      child.kill('SIGTERM');
      const isOver = await Promise.race([ended.then(() => true), until('', 20, () => undefined).catch(() => false)]);
      if (!isOver && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      await ended;
    },
  };
}

/** Whether it is process 1 of a machine, and systemd already: nspawn has helpers of its own before that. */
function isFirstProcess(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return /^Name:\tsystemd$/m.test(status) && /^NSpid:\t\d+\t1$/m.test(status);
}
