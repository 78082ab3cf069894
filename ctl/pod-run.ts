// `gingham pod run|exec|list|rm`: a command in a network namespace of its own, plugged into the overlay by the CNI plugin.
//
// Only the network is the pod's: files and processes are the node's. In the foreground the pod goes when its command ends;
// in the background it stays until `pod rm`, also when its command has ended, so that one can see why.

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { hostname } from 'node:os';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { run, runOnTerminal } from './child.ts';
import { askStatus } from './daemon-status.ts';
import { callPlugin, defaultStateFolder, PLUGIN_NAME } from './plugin-call.ts';
import { holdNamespace } from './pod-holder.ts';
import { createPodRun, findPodRun, listPodRuns, type PodRun, podLog, removePodRun, updatePodRun } from './pod-store.ts';
import { poll } from './poll.ts';
import { identifyProcess, isAlive, type ProcessIdentity, signalProcess } from './process-identity.ts';
import { renderTable } from './table.ts';

/** Between SIGTERM and SIGKILL. */
const END_MS = 2_000;
/** Network of these pods: a runtime's GC of its own network must not take them for garbage. */
const NETWORK = 'gingham-pods';

export interface PodRunOptions {
  readonly detach: boolean;
  readonly mode: string;
  readonly stateFolder?: string;
}

/** Makes the pod and runs the command in it; gives the exit code to end with. Throws `ExitError`. */
export async function podRun(
  runFolder: string,
  name: string,
  command: readonly string[],
  options: PodRunOptions,
): Promise<number> {
  const background = options.detach || command.length === 0;
  let pod = newPod(runFolder, name, command, options);
  createPodRun(runFolder, pod);
  try {
    const holder = await holdNamespace({ detached: true });
    holder.unref();
    pod = { ...pod, holder: identityOf(holder) };
    updatePodRun(runFolder, pod);
    await run([...inPod(pod), 'ip', 'link', 'set', 'lo', 'up']);
    pod = {
      ...pod,
      addresses: addressesIn(await callPlugin({ command: 'ADD', ...plugOf(pod) }, confOf(runFolder, pod))),
    };
    updatePodRun(runFolder, pod);
    if (!background) process.stderr.write(`${name}: ${pod.addresses.join(', ')}\n`);
    if (background && command.length > 0) {
      pod = { ...pod, process: startInBackground(runFolder, pod) };
      updatePodRun(runFolder, pod);
    }
  } catch (error) {
    await endPod(runFolder, pod).catch(() => undefined);
    throw error;
  }
  if (background) {
    process.stdout.write(`${pod.addresses.join(' ')}\n`);
    return EXIT.ok;
  }
  try {
    return await runOnTerminal([...inPod(pod), ...command]);
  } finally {
    await endPod(runFolder, pod);
  }
}

/** Runs a command in a pod that is there, on this terminal. */
export async function podExecIn(runFolder: string, name: string, command: readonly string[]): Promise<number> {
  const pod = findPodRun(runFolder, name);
  if (pod.holder === undefined || !isAlive(pod.holder)) {
    throw new ExitError(EXIT.environment, `gingham: pod ${name} has no network namespace any more: remove it`);
  }
  return runOnTerminal([...inPod(pod), ...command]);
}

/** Prints the pods of this node. */
export async function podList(runFolder: string, json: boolean): Promise<number> {
  const pods = listPodRuns(runFolder);
  const node = await nodeName(runFolder);
  const rows = pods.map((pod) => ({
    name: pod.name,
    addresses: pod.addresses,
    node,
    command: pod.command,
    pid: pod.process !== undefined && isAlive(pod.process) ? pod.process.pid : null,
  }));
  const table = renderTable(
    ['NAME', 'ADDRESS', 'NODE', 'PID', 'COMMAND'],
    rows.map(({ name, addresses, pid, command }) => [
      name,
      addresses.join(' ') || '-',
      node,
      pid === null ? '-' : String(pid),
      command.join(' ') || '-',
    ]),
  );
  process.stdout.write(`${json ? JSON.stringify(rows) : table.join('\n')}\n`);
  return EXIT.ok;
}

/** Ends the pods' commands and removes them. Throws `ExitError` where one is not there. */
export async function podRemove(runFolder: string, names: readonly string[]): Promise<number> {
  const pods = names.map((name) => findPodRun(runFolder, name));
  for (const pod of pods) await endPod(runFolder, pod);
  return EXIT.ok;
}

/** Ends the processes of all pods of a node whose network goes away as a whole: for the lab. */
export function killPods(runFolder: string): number {
  const processes = listPodRuns(runFolder).flatMap(({ process: main, holder }) => [main, holder]);
  return processes.filter((each) => each !== undefined && signalProcess(each, 'SIGKILL')).length;
}

function newPod(runFolder: string, name: string, command: readonly string[], options: PodRunOptions): PodRun {
  if (!/^[a-z0-9][a-z0-9.-]{0,62}$/.test(name)) {
    const accepts = 'lower-case letters, digits, . and -, starting with a letter or digit';
    throw new ExitError(EXIT.usage, `gingham: pod name ${JSON.stringify(name)} is not accepted: it takes ${accepts}`);
  }
  const { mode, stateFolder } = options;
  if (mode !== 'bridge' && mode !== 'routed') {
    throw new ExitError(
      EXIT.usage,
      `gingham: --mode ${JSON.stringify(mode)} is not accepted: it takes bridge or routed`,
    );
  }
  return {
    name,
    // Another one each time: a pod of the same name is another pod.
    containerId: `${name}-${randomBytes(6).toString('hex')}`,
    mode,
    stateFolder: stateFolder ?? defaultStateFolder(runFolder),
    command: [...command],
    addresses: [],
  };
}

function confOf(runFolder: string, { mode, stateFolder }: PodRun): object {
  return { cniVersion: '1.1.0', name: NETWORK, type: PLUGIN_NAME, mode, runDir: runFolder, dataDir: stateFolder };
}

function plugOf(pod: PodRun): { readonly containerId: string; readonly netns: string } {
  return { containerId: pod.containerId, netns: pod.holder === undefined ? '' : `/proc/${pod.holder.pid}/ns/net` };
}

function inPod({ holder }: PodRun): readonly string[] {
  return ['nsenter', '--target', String(holder?.pid ?? 0), '--net', '--'];
}

function startInBackground(runFolder: string, pod: PodRun): ProcessIdentity {
  const log = openSync(podLog(runFolder, pod.name), 'a', 0o644);
  const [file = '', ...args] = [...inPod(pod), ...pod.command];
  const child = spawn(file, args, { detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  child.on('error', () => undefined);
  child.unref();
  return identityOf(child);
}

async function endPod(runFolder: string, pod: PodRun): Promise<void> {
  const { process: main, holder } = pod;
  if (main !== undefined && signalProcess(main, 'SIGTERM')) {
    const ended = await poll({ timeoutMs: END_MS, intervalMs: 20 }, () => (isAlive(main) ? undefined : true));
    if (ended !== true) signalProcess(main, 'SIGKILL');
  }
  await callPlugin({ command: 'DEL', ...plugOf(pod) }, confOf(runFolder, pod));
  if (holder !== undefined) signalProcess(holder, 'SIGKILL');
  removePodRun(runFolder, pod.name);
}

function identityOf(child: ChildProcess): ProcessIdentity {
  const identity = child.pid === undefined ? undefined : identifyProcess(child.pid);
  if (identity !== undefined) return identity;
  throw new ExitError(EXIT.environment, `gingham: cannot start ${child.spawnfile}: is it installed?`);
}

function addressesIn(result: unknown): string[] {
  const { ips = [] } = (result ?? {}) as { ips?: readonly { address: string }[] };
  return ips.map(({ address }) => address.slice(0, address.indexOf('/')));
}

/** As flanneld says it. */
async function nodeName(runFolder: string): Promise<string> {
  const status = await askStatus(runFolder, 'flanneld');
  const node = typeof status === 'string' ? undefined : status['node'];
  return typeof node === 'string' ? node : hostname();
}
