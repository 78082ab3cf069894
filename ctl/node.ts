// `gingham node`: the main process of a node's container. Holds the network namespace that the daemons share, and makes
// the node's one pod once flanneld has leased a subnet.
//
// The pod's namespace lives as long as a process in it: a sleeping child, entered by its pid. Nothing is mounted, so the
// container needs NET_ADMIN, and SYS_ADMIN for a second namespace, but no shared mount.

import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pause, systemClock } from '../lib/run/clock.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { type DaemonContext, ensureRunFolder, type RunningDaemon } from '../lib/run/lifecycle.ts';
import { parseSubnetEnv, podAddress } from '../lib/subnet-env.ts';
import { holdNamespace } from './pod-holder.ts';
import { POD_PID_FILE, podOfProcess, readPodHolder } from './pod-place.ts';
import { type PodPlace, plugPod, unplugPod } from './pod-plug.ts';
import { identifyProcess, signalProcess } from './process-identity.ts';

/** How often subnet.env is looked at: a node may get another subnet, and the pod must follow. */
const LOOK_MS = 500;

/** Starts it; `stop` removes pod, bridge and the pid file. Throws `ExitError` where no namespace can be made. */
export async function startNode(runFolder: string, context: DaemonContext): Promise<RunningDaemon> {
  const { log, signal } = context;
  await ensureRunFolder(runFolder);
  const pidFile = join(runFolder, POD_PID_FILE);
  const former = await readPodHolder(runFolder);
  if (former !== undefined && signalProcess(former, 'SIGKILL'))
    log.info({ holderPid: former.pid }, 'ended the pod of a former run');
  const holder = await holdNamespace({ detached: false });
  const pid = holder.pid ?? 0;
  holder.once('exit', (code, killedBy) => {
    if (!signal.aborted)
      context.fail(new ExitError(EXIT.internal, `the pod's process has ended (${killedBy ?? code})`));
  });
  await writeFile(pidFile, `${JSON.stringify(identifyProcess(pid))}\n`);
  const place = podOfProcess(pid);
  log.info({ holderPid: pid }, 'pod namespace made; waiting for subnet.env');
  const keeping = keepPlugged(place, join(runFolder, 'subnet.env'), context);
  return {
    async stop() {
      await keeping;
      await unplugPod(place);
      holder.kill('SIGKILL');
      await rm(pidFile, { force: true });
    },
  };
}

/** Plugs the pod whenever subnet.env says something new; a failure is tried again. */
async function keepPlugged(place: PodPlace, path: string, { log, signal }: DaemonContext): Promise<void> {
  let done = '';
  let lastFailure = '';
  while (!signal.aborted) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (text !== '' && text !== done) {
      try {
        const env = parseSubnetEnv(text);
        if (typeof env === 'string') throw new Error(`${path}: ${env}`);
        await plugPod(place, env);
        done = text;
        lastFailure = '';
        log.info({ subnet: env.subnet, pod: podAddress(env.subnet), mtuBytes: env.mtuBytes }, 'pod plugged');
      } catch (error) {
        const failure = String(error);
        if (failure !== lastFailure) log.warn({ err: error }, 'the pod cannot be plugged: trying again');
        lastFailure = failure;
      }
    }
    await pause(systemClock, LOOK_MS, signal);
  }
}
