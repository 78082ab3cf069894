// Where this node's pod is: the lab names its network namespace in a file, a node container keeps a process in it.
//
// Exactly one of the two files exists:
//
//   <run-dir>/pod.netns   name of a namespace under /run/netns       written by the lab
//   <run-dir>/pod.pid     JSON {pid, startTicks} of a process in it  written by `gingham node`

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import type { PodPlace } from './pod-plug.ts';
import { isAlive, type ProcessIdentity } from './process-identity.ts';

export const POD_NETNS_FILE = 'pod.netns';
export const POD_PID_FILE = 'pod.pid';

/** The place of a pod whose namespace a process holds open. */
export function podOfProcess(pid: number): PodPlace {
  return { nodeIp: ['ip'], podNetns: String(pid), inPod: ['nsenter', '--target', String(pid), '--net', '--'] };
}

/** This node's pod. Throws `ExitError` where there is none. */
export async function findPod(runFolder: string): Promise<PodPlace> {
  const name = (await readText(join(runFolder, POD_NETNS_FILE)))?.trim();
  if (name !== undefined) return { nodeIp: ['ip'], podNetns: name, inPod: ['ip', 'netns', 'exec', name] };
  const holder = await readPodHolder(runFolder);
  if (holder !== undefined && isAlive(holder)) return podOfProcess(holder.pid);
  const where = `${join(runFolder, POD_PID_FILE)} or ${POD_NETNS_FILE}`;
  throw new ExitError(EXIT.environment, `gingham: this node has no pod: ${where} names none that lives (--run-dir)`);
}

/** The process that held this node's pod, dead or alive. */
export async function readPodHolder(runFolder: string): Promise<ProcessIdentity | undefined> {
  const text = await readText(join(runFolder, POD_PID_FILE));
  if (text === undefined) return undefined;
  try {
    const { pid, startTicks } = JSON.parse(text) as Partial<ProcessIdentity>;
    return typeof pid === 'number' && typeof startTicks === 'number' ? { pid, startTicks } : undefined;
  } catch {
    return undefined;
  }
}

async function readText(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}
