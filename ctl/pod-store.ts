// The pods that `gingham pod` made on this node: a file for each, <run-dir>/pod-runs/<name>.json, with its log beside it.
//
// The file is made, with O_EXCL, before anything else of the pod, and removed last: a pod that was half made is found.

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { EXIT, ExitError } from '../lib/run/exit.ts';

const processSchema = z.object({ pid: z.int().positive(), startTicks: z.number() });
const podSchema = z.object({
  name: z.string(),
  containerId: z.string(),
  mode: z.enum(['bridge', 'routed']),
  stateFolder: z.string(),
  command: z.array(z.string()),
  addresses: z.array(z.string()),
  /** Holds the namespace open. */
  holder: processSchema.optional(),
  /** Runs the command; absent where there is none. */
  process: processSchema.optional(),
});

export type PodRun = Readonly<z.infer<typeof podSchema>>;

/** Takes the name. Throws `ExitError` where it is taken or is none. */
export function createPodRun(runFolder: string, pod: PodRun): void {
  try {
    mkdirSync(folderOf(runFolder), { recursive: true, mode: 0o755 });
    writeFileSync(pathOf(runFolder, pod.name), JSON.stringify(pod), { flag: 'wx' });
  } catch (cause) {
    const taken = (cause as NodeJS.ErrnoException).code === 'EEXIST';
    const text = taken
      ? `gingham: there is a pod ${pod.name} already: "gingham pod rm ${pod.name}" removes it`
      : `gingham: cannot write ${pathOf(runFolder, pod.name)}: ${(cause as Error).message}`;
    throw new ExitError(taken ? EXIT.conflict : EXIT.environment, text, { cause });
  }
}

export function updatePodRun(runFolder: string, pod: PodRun): void {
  const path = pathOf(runFolder, pod.name);
  writeFileSync(`${path}.new`, JSON.stringify(pod));
  renameSync(`${path}.new`, path);
}

export function removePodRun(runFolder: string, name: string): void {
  rmSync(podLog(runFolder, name), { force: true });
  rmSync(pathOf(runFolder, name), { force: true });
}

/** Throws `ExitError` where there is no such pod. */
export function findPodRun(runFolder: string, name: string): PodRun {
  const pod = listPodRuns(runFolder).find((candidate) => candidate.name === name);
  if (pod !== undefined) return pod;
  throw new ExitError(EXIT.environment, `gingham: there is no pod ${name} on this node: see "gingham pod list"`);
}

/** By name. A file that is not readable is left out. */
export function listPodRuns(runFolder: string): readonly PodRun[] {
  let names: readonly string[];
  try {
    names = readdirSync(folderOf(runFolder)).filter((name) => name.endsWith('.json'));
  } catch {
    return [];
  }
  return names.toSorted().flatMap((name) => {
    try {
      return [podSchema.parse(JSON.parse(readFileSync(join(folderOf(runFolder), name), 'utf8')))];
    } catch {
      return [];
    }
  });
}

/** Where a pod in the background writes. */
export function podLog(runFolder: string, name: string): string {
  return join(folderOf(runFolder), `${name}.log`);
}

function folderOf(runFolder: string): string {
  return join(runFolder, 'pod-runs');
}

function pathOf(runFolder: string, name: string): string {
  return join(folderOf(runFolder), `${name}.json`);
}
