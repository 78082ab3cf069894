// `gingham cni install`: puts the CNI plugin where a container runtime looks, and a network configuration beside it.
//
// What lands in the runtime's folder is a launcher with absolute paths: runtimes start plugins with next to no PATH, and
// the plugin's one dependency (koffi) is found from where gingham is installed.

import { chmodSync, existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { PLUGIN_BUNDLE, PLUGIN_NAME } from './plugin-call.ts';

const CONFLIST = '10-gingham.conflist';

/** Plugins that may follow ours, and the capability by which a runtime talks to each. */
const CHAINED: Readonly<Record<string, string | undefined>> = {
  portmap: 'portMappings',
  bandwidth: 'bandwidth',
  tuning: undefined,
};

export interface InstallOptions {
  readonly binDir: string;
  /** Empty: no configuration is written. */
  readonly confDir: string;
  readonly mode: string;
  /** Names of plugins, comma-separated. */
  readonly chain: string;
  readonly runFolder: string;
  readonly stateFolder: string;
}

/** Writes launcher and configuration, and says so. Throws `ExitError`. */
export async function installCni(options: InstallOptions): Promise<number> {
  const { binDir, confDir } = options;
  const conflist = networkList(options);
  if (!existsSync(PLUGIN_BUNDLE)) {
    throw new ExitError(EXIT.environment, `gingham: there is no ${PLUGIN_BUNDLE}: "npm run build" makes it`);
  }
  write(binDir, PLUGIN_NAME, launcher(), 0o755);
  if (confDir !== '') write(confDir, CONFLIST, `${JSON.stringify(conflist, null, 2)}\n`, 0o644);
  return EXIT.ok;
}

function networkList({ mode, chain, runFolder, stateFolder }: InstallOptions): object {
  if (mode !== 'bridge' && mode !== 'routed') refuse('--mode', mode, 'bridge or routed');
  const names = chain.split(',').filter((name) => name !== '');
  for (const name of names) if (!(name in CHAINED)) refuse('--chain', name, Object.keys(CHAINED).join(', '));
  const own = {
    type: PLUGIN_NAME,
    mode,
    runDir: runFolder,
    dataDir: stateFolder,
    capabilities: { ips: true, mac: true },
  };
  const chained = names.map((type) => {
    const capability = CHAINED[type];
    return { type, ...(capability && { capabilities: { [capability]: true } }) };
  });
  return {
    cniVersion: '1.0.0',
    // For runtimes that choose the newest that both know.
    cniVersions: ['0.4.0', '1.0.0', '1.1.0'],
    name: 'gingham',
    plugins: [own, ...chained],
  };
}

function launcher(): string {
  return `#!/bin/sh\nexec '${process.execPath}' '${PLUGIN_BUNDLE}'\n`;
}

function write(folder: string, name: string, text: string, mode: number): void {
  const path = join(folder, name);
  const temporary = join(folder, `.${name}.${process.pid}`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    writeFileSync(temporary, text, { mode });
    // Whatever the umask says: runtimes may run as somebody else.
    chmodSync(temporary, mode);
    renameSync(temporary, path);
  } catch (cause) {
    throw new ExitError(EXIT.environment, `gingham: cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
  process.stdout.write(`${path}\n`);
}

function refuse(flag: string, value: string, accepts: string): never {
  throw new ExitError(EXIT.usage, `gingham: ${flag} ${JSON.stringify(value)} is not accepted: it takes ${accepts}`);
}
