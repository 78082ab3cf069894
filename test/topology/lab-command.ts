// Runs the lab's command line for tests, as a person would, on labs whose names no other test has.
//
// It uses dist/, which `npm test` has built before.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const LAB_MAIN = join(import.meta.dirname, '../../dist/lab/main.js');

let labs = 0;

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A name for a lab of this test: by process and counter. */
export function labName(): string {
  labs++;
  return `t${process.pid.toString(36)}x${labs.toString(36)}`;
}

/** Runs `lab <args> --name <name>` to its end. The name stands before `args`, so that `exec` takes all that follows. */
export async function lab(name: string, ...args: readonly string[]): Promise<Outcome> {
  const child = startLab(name, ...args);
  const out = { stdout: '', stderr: '' };
  child.stdout?.on('data', (bytes) => {
    out.stdout += String(bytes);
  });
  child.stderr?.on('data', (bytes) => {
    out.stderr += String(bytes);
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, ...out };
}

/** Starts `lab <args> --name <name>`. */
export function startLab(name: string, ...args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [LAB_MAIN, '--name', name, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

/** As `lab`; throws with all that it said unless it ended with 0. */
export async function labOk(name: string, ...args: readonly string[]): Promise<string> {
  const outcome = await lab(name, ...args);
  if (outcome.code === 0) return outcome.stdout;
  throw new Error(`lab ${args.join(' ')}: exit code ${outcome.code}\n${outcome.stderr}${outcome.stdout}`);
}

/** Everything that a lab of this name has on this machine: namespaces, processes, folders. */
export function remainsOf(name: string): readonly string[] {
  const folder = `/run/gingham-lab/${name}`;
  const namespaces = list('/run/netns').filter((entry) => entry.startsWith(`gh-${name}-`));
  const processes = list('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => readText(`/proc/${pid}/cmdline`).replaceAll('\0', ' '))
    .filter((line) => line.includes(`${folder}/`) || line.includes(`gh-${name}-`));
  return [...namespaces, ...processes, ...(existsSync(folder) ? [folder] : [])];
}

/** Devices in the machine's own namespace that look like a lab's: there must never be one. */
export function strayDevices(): readonly string[] {
  return list('/sys/class/net').filter((device) => /^(flannel|cni0|pod0|node\d|net-[a-c]|etcd)/.test(device));
}

function list(folder: string): readonly string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // The process has ended since it was listed.
    return '';
  }
}
