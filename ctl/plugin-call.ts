// Calling the CNI plugin as a container runtime does: by environment and standard input.
//
// Not by an import: the plugin enters namespaces with its only thread, and ends when it is done.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { EXIT, ExitError } from '../lib/run/exit.ts';

/** The plugin in one file. */
export const PLUGIN_BUNDLE = fileURLToPath(new URL('../cni/gingham-cni.cjs', import.meta.url));
/** Its name for runtimes: the `type` of a network configuration. */
export const PLUGIN_NAME = 'gingham-cni';

export interface PluginCall {
  readonly command: 'ADD' | 'DEL';
  readonly containerId: string;
  readonly netns: string;
}

/** The pod's one interface. */
const IFNAME = 'eth0';

/** The plugin's answer, parsed; `undefined` for none. Throws `ExitError` (environment) with the plugin's own words. */
export function callPlugin(call: PluginCall, conf: object): Promise<unknown> {
  const env = {
    CNI_COMMAND: call.command,
    CNI_CONTAINERID: call.containerId,
    CNI_NETNS: call.netns,
    CNI_IFNAME: IFNAME,
    CNI_PATH: '/opt/cni/bin',
  };
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [PLUGIN_BUNDLE], { env, stdio: ['pipe', 'pipe', 'inherit'] });
    const output: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stdin.on('error', () => undefined);
    child.once('error', reject);
    child.once('close', (code) => {
      const text = Buffer.concat(output).toString();
      const answer: unknown = text === '' ? undefined : JSON.parse(text);
      if (code === 0) return resolve(answer);
      const { msg, code: cniCode } = (answer ?? {}) as { msg?: string; code?: number };
      const reason = msg === undefined ? `it ended with code ${code}` : `${msg} (CNI code ${cniCode})`;
      reject(new ExitError(EXIT.environment, `gingham: ${PLUGIN_NAME} ${call.command}: ${reason}`));
    });
    child.stdin.end(JSON.stringify(conf));
  });
}

/** Where the plugin keeps addresses: nodes of a lab share a machine and its folders, so theirs are in their run folders. */
export function defaultStateFolder(runFolder: string): string {
  return runFolder === '/run/gingham' ? '/var/lib/cni/gingham' : `${runFolder}/cni`;
}
