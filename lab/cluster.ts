// A lab from nothing to converged, and from anything to nothing.
//
// The record is written before anything is made; everything else can be found from it (names follow from the options)
// or from the namespaces themselves. So clearing needs no memory of how far the making got.

import { readdir } from 'node:fs/promises';
import { killPods } from '../ctl/pod-run.ts';
import { pause, systemClock } from '../lib/run/clock.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { makeCables } from './cables.ts';
import { etcdHealthy, startEtcd, writeNetworkConfig } from './etcd.ts';
import { impairTopology } from './impairments.ts';
import { endNamespaceProcesses } from './lab-process.ts';
import { launchNodes } from './launch.ts';
import { existingNamespaces, makeNamespaces, removeNamespaces } from './namespaces.ts';
import { endedDaemons, type NodeView, observe, whatIsMissing } from './observe.ts';
import { combineOptions, DEFAULT_OPTIONS, type LabOptions } from './options.ts';
import type { Progress } from './progress.ts';
import { shapeText } from './report.ts';
import { clearLabState, type LabRecord, labFolder, machineFolder, readLabRecord, writeLabRecord } from './state.ts';
import { buildTopology, namespacePrefix, namespacesOf, type Topology } from './topology.ts';
import type { YamlSource } from './yaml-file.ts';

/** A first look costs a little CPU that the daemons need; later ones are spaced by this. */
const LOOK_MS = 50;
/** Convergence is waited for this long, plus an allowance for each node. */
const CONVERGE_TIMEOUT_MS = 30_000;
const CONVERGE_TIMEOUT_PER_NODE_MS = 2_000;

export interface Bringing {
  readonly topology: Topology;
  /** The lab was there already; nothing was made anew. */
  readonly existed: boolean;
  /** How many daemons were started. */
  readonly started: number;
  readonly views: readonly NodeView[];
  /** From the start of the first daemon to the full table. */
  readonly convergedMs: number;
}

/** The running lab of this name, or `undefined`. Throws `ExitError` where its record cannot be read. */
export async function findLab(lab: string): Promise<Topology | undefined> {
  const record = await readLabRecord(lab);
  if (record === undefined) return undefined;
  if (record !== 'unreadable') return buildTopology(lab, record.options, record.source);
  throw new ExitError(EXIT.config, `lab: the record of lab ${lab} is not readable: "lab down" clears it`);
}

/**
 * Makes the lab, or completes the one that is there, and waits until it has converged. `given` holds the options that
 * were asked for; what is not given is the running lab's, or the default; with a topology file they are its own. An abort leaves a half-made lab: the caller
 * clears it.
 */
export async function bringUp(
  lab: string,
  given: Partial<LabOptions>,
  progress: Progress,
  signal: AbortSignal,
  source?: YamlSource,
): Promise<Bringing> {
  const present = await usableLab(lab, given, progress, source);
  const asked = buildTopology(lab, combineOptions(DEFAULT_OPTIONS, given), source);
  const topology = present ?? (await makeLab(asked, progress, signal));
  progress.step('starting etcd');
  await startEtcd(topology);
  await etcdHealthy(topology, signal);
  await writeNetworkConfig(topology);
  const startMs = systemClock.monotonicMs();
  progress.step('starting daemons');
  const started = await launchNodes(topology, progress, signal);
  await writeLabRecord(lab, recordOf(topology, 'running'));
  progress.step('waiting for every node to know every other');
  const views = await converged(topology, progress, signal);
  return { topology, existed: present !== undefined, started, views, convergedMs: systemClock.monotonicMs() - startMs };
}

/**
 * Removes everything that the lab has or ever had; returns how many processes it ended. Nothing to remove is fine.
 *
 * SIGKILL, not SIGTERM: the lab's state is removed with it, and fifty nodes that take leave of each other in order
 * would keep the machine busy for seconds with changes that nobody will see.
 */
export async function tearDown(lab: string): Promise<number> {
  const record = await readLabRecord(lab);
  let count = 0;
  if (record !== undefined) {
    const existing = await existingNamespaces();
    const names =
      record === 'unreadable'
        ? [...existing].filter((name) => name.startsWith(namespacePrefix(lab)))
        : namespacesOf(buildTopology(lab, record.options, record.source)).filter((name) => existing.has(name));
    count = (await endNamespaceProcesses(names)) + (await killAllPods(lab));
    await removeNamespaces(names);
  }
  // Without a record nothing was made; at most files of an interrupted removal are left.
  await clearLabState(lab);
  return count;
}

/** Pods of `gingham pod` are in namespaces that have no name: their records tell of them. */
async function killAllPods(lab: string): Promise<number> {
  const machines = await readdir(labFolder(lab)).catch(() => []);
  return machines.reduce((count, machine) => count + killPods(machineFolder(lab, machine)), 0);
}

/** Waits until nothing is missing. Throws `ExitError` with what is, once a daemon has ended or the time is over. */
export async function converged(
  topology: Topology,
  progress: Progress,
  signal: AbortSignal,
): Promise<readonly NodeView[]> {
  const timeoutMs = CONVERGE_TIMEOUT_MS + CONVERGE_TIMEOUT_PER_NODE_MS * topology.nodes.length;
  const deadlineMs = systemClock.monotonicMs() + timeoutMs;
  for (;;) {
    const views = await observe(topology);
    signal.throwIfAborted();
    const missing = whatIsMissing(views);
    if (missing.length === 0) return views;
    progress.detail(`${views.length - missing.length} of ${views.length} nodes; ${missing[0]}`);
    const ended = endedDaemons(topology, views);
    if (ended.length > 0) throw new ExitError(EXIT.internal, `lab: ${ended.join('\n     ')}`);
    if (systemClock.monotonicMs() > deadlineMs) {
      const lines = missing.slice(0, 10).join('\n     ');
      throw new ExitError(EXIT.internal, `lab: not converged after ${Math.round(timeoutMs / 1000)} s:\n     ${lines}`);
    }
    await pause(systemClock, LOOK_MS, signal);
    signal.throwIfAborted();
  }
}

/** The lab that is there, if it can be completed; what cannot is cleared. Throws `ExitError` where the options differ. */
async function usableLab(
  lab: string,
  given: Partial<LabOptions>,
  progress: Progress,
  source: YamlSource | undefined,
): Promise<Topology | undefined> {
  const record = await readLabRecord(lab);
  if (record === undefined) return undefined;
  if (record !== 'unreadable' && record.phase === 'running') {
    const wanted = shapeText(combineOptions(record.options, given), source ?? record.source);
    const running = shapeText(record.options, record.source);
    const topology = buildTopology(lab, record.options, record.source);
    const existing = await existingNamespaces();
    const whole = namespacesOf(topology).every((name) => existing.has(name));
    const same = source === undefined || source.text === record.source?.text;
    if (whole && same && wanted === running) return topology;
    if (whole) {
      throw new ExitError(
        EXIT.conflict,
        `lab: ${lab} runs with ${running}, not ${wanted}: "lab down" first, or --name for another lab beside it`,
      );
    }
  }
  progress.step('clearing what an interrupted run left');
  await tearDown(lab);
  return undefined;
}

async function makeLab(topology: Topology, progress: Progress, signal: AbortSignal): Promise<Topology> {
  const { lab } = topology;
  progress.step(`making ${namespacesOf(topology).length} namespaces`);
  await clearLabState(lab);
  const existing = await existingNamespaces();
  const taken = namespacesOf(topology).find((name) => existing.has(name));
  if (taken !== undefined) {
    throw new ExitError(
      EXIT.conflict,
      `lab: namespace ${taken} exists and no lab knows it: remove it (ip netns delete ${taken}) or choose another --name`,
    );
  }
  await writeLabRecord(lab, recordOf(topology, 'making'));
  await makeNamespaces(topology, signal);
  await makeCables(topology, signal);
  await impairTopology(topology, signal);
  return topology;
}

function recordOf({ options, source }: Topology, phase: LabRecord['phase']): LabRecord {
  return { phase, options, ...(source && { source }), createdUnixMs: Date.now() };
}
