// Applies what a topology file says of its links, delay, loss and rate, when a lab is made; gone with its namespaces.
//
// Where the kernel has no netem each end gets a process of the lab's own link, which lives as long as the lab.

import { mkdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { run } from '../ctl/child.ts';
import { poll } from '../ctl/poll.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { lastWords, livingProcess, logPath, type ProcessPlace, startProcess } from './lab-process.ts';
import { type ImpairedBy, impairEnd } from './link/impair-end.ts';
import { impairedLinks, type LinkEnd, linkEndsOf } from './link-ends.ts';
import { inNamespace } from './namespaces.ts';
import { findPlace } from './node-daemons.ts';
import { machineFolder } from './state.ts';
import type { Topology } from './topology.ts';

const READY_TIMEOUT_MS = 30_000;
const LINK_MAIN = fileURLToPath(new URL('./link/main.js', import.meta.url));

/** Both ends of every link that the file impairs. The losses of a topology are the same in every lab made from it. */
export async function impairTopology(topology: Topology, signal: AbortSignal): Promise<void> {
  const ends = [...impairedLinks(topology)].flatMap(([name, impairment]) =>
    (linkEndsOf(topology).get(name) ?? []).map((end) => ({ end, impairment })),
  );
  await Promise.all(
    ends.map(async ({ end, impairment }, index) => {
      const place = linkPlace(topology, end);
      await impairEnd(end.device, impairment, index + 1, {
        run: (argv, input) =>
          run([...inNamespace(place.namespace), ...argv], { signal, ...(input === undefined ? {} : { input }) }),
        startLink: (args) => startLink(place, args, signal),
      });
    }),
  );
}

/** By what the links of a lab that stands are impaired. */
export function topologyImpairedBy(topology: Topology): ImpairedBy {
  const names = [...impairedLinks(topology)].filter(([, { delay, loss }]) => (delay ?? loss) !== undefined);
  const ends = names.flatMap(([name]) => linkEndsOf(topology).get(name) ?? []);
  if (ends.length === 0) return 'none';
  return ends.some((end) => livingProcess(linkPlace(topology, end)) !== undefined) ? 'lab-link' : 'netem';
}

async function startLink(place: ProcessPlace, args: readonly string[], signal: AbortSignal): Promise<void> {
  await mkdir(place.folder, { recursive: true, mode: 0o755 });
  startProcess(place, [process.execPath, LINK_MAIN, ...args, 'stay'], process.env);
  const outcome = await poll({ timeoutMs: READY_TIMEOUT_MS, intervalMs: 20, signal }, async () => {
    if (livingProcess(place) === undefined) return `has ended: ${lastWords(place)}`;
    return (await readFile(logPath(place), 'utf8')).includes('ready') ? '' : undefined;
  });
  signal.throwIfAborted();
  if (outcome !== '')
    throw new ExitError(EXIT.environment, `lab: ${place.title} ${outcome ?? 'does not become ready'}`);
}

function linkPlace(topology: Topology, { place, device }: LinkEnd): ProcessPlace {
  return {
    title: `the link on ${place} ${device}`,
    name: `link-${device}`,
    namespace: findPlace(topology, place).namespace,
    folder: machineFolder(topology.lab, place),
  };
}
