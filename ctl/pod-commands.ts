// The arguments of `gingham pod`, `gingham ipam` and `gingham cni`; each does its work in a file of its own.
//
// In the lab: `npm run lab -- exec node1 -- gingham pod ...` has the node's run folder in its environment.

import type { Command } from 'commander';
import { installCni } from './cni-install.ts';
import { ipamCheck, ipamRelease, ipamShow } from './ipam.ts';
import { defaultStateFolder } from './plugin-call.ts';
import { podExecIn, podList, podRemove, podRun } from './pod-run.ts';

type Finish = (work: Promise<number>) => Promise<void>;
interface StateFlags {
  readonly stateDir?: string;
  readonly json?: boolean;
}

const STATE_FLAG = '--state-dir <folder>';
const STATE_HELP = 'where addresses are kept [/var/lib/cni/gingham; cni in the run folder where that is another]';

/** Adds the three commands. */
export function addPodCommands(program: Command, runFolder: () => string, finish: Finish): void {
  addPod(program.command('pod'), runFolder, finish);
  addIpam(program.command('ipam'), runFolder, finish);
  addCni(program.command('cni'), runFolder, finish);
}

/** commander hands a "--" on where options are passed through. */
export function withoutDashes(command: readonly string[]): readonly string[] {
  return command[0] === '--' ? command.slice(1) : command;
}

function addPod(pod: Command, runFolder: () => string, finish: Finish): void {
  pod.description('commands in network namespaces of their own, plugged into the overlay').enablePositionalOptions();
  pod
    .command('run <name> [command...]')
    .description('make a pod and run a command in it: pod run web -- python3 -m http.server')
    .option('-d, --detach', 'in the background, until "pod rm"; without a command always so')
    .option('--mode <mode>', 'bridge or routed', 'bridge')
    .option(STATE_FLAG, STATE_HELP)
    .passThroughOptions()
    .action((name: string, command: readonly string[], flags: StateFlags & { detach?: boolean; mode: string }) => {
      const { detach = false, mode, stateDir } = flags;
      const options = { detach, mode, ...(stateDir !== undefined && { stateFolder: stateDir }) };
      return finish(podRun(runFolder(), name, withoutDashes(command), options));
    });
  pod
    .command('exec <name> <command...>')
    .description('run a command in a pod that is there')
    .passThroughOptions()
    .action((name: string, command: readonly string[]) => finish(podExecIn(runFolder(), name, withoutDashes(command))));
  pod
    .command('list')
    .description('the pods of this node')
    .option('--json', 'as JSON')
    .action((flags: StateFlags) => finish(podList(runFolder(), flags.json === true)));
  pod
    .command('rm <name...>')
    .description('end pods and remove them')
    .action((names: readonly string[]) => finish(podRemove(runFolder(), names)));
}

function addIpam(ipam: Command, runFolder: () => string, finish: Finish): void {
  ipam.description('addresses that the CNI plugin gave to pods of this node');
  const folderOf = (flags: StateFlags): string => flags.stateDir ?? defaultStateFolder(runFolder());
  ipam
    .command('show')
    .description('every address in use, and whose it is')
    .option('--json', 'as JSON')
    .option(STATE_FLAG, STATE_HELP)
    .action((flags: StateFlags) => finish(ipamShow(folderOf(flags), flags.json === true)));
  ipam
    .command('check')
    .description('1 where an address has no interface in the kernel, or a pod interface no address')
    .option('--json', 'as JSON: {"addresses", "problems"}')
    .option(STATE_FLAG, STATE_HELP)
    .action((flags: StateFlags) => finish(ipamCheck(folderOf(flags), flags.json === true)));
  ipam
    .command('release <address-or-container>')
    .description('free the address of a pod that is gone')
    .option(STATE_FLAG, STATE_HELP)
    .action((what: string, flags: StateFlags) => finish(ipamRelease(folderOf(flags), what)));
}

function addCni(cni: Command, runFolder: () => string, finish: Finish): void {
  cni.description('the CNI plugin, for container runtimes');
  cni
    .command('install')
    .description('put the plugin and a network configuration where a container runtime looks')
    .option('--bin-dir <folder>', 'folder of CNI plugins', '/opt/cni/bin')
    .option('--conf-dir <folder>', 'folder of network configurations; empty for none', '/etc/cni/net.d')
    .option('--mode <mode>', 'bridge or routed', 'bridge')
    .option('--chain <plugins>', 'plugins to follow: portmap, bandwidth, tuning', 'portmap')
    .option(STATE_FLAG, STATE_HELP)
    .action((flags: StateFlags & { binDir: string; confDir: string; mode: string; chain: string }) => {
      const stateFolder = flags.stateDir ?? defaultStateFolder(runFolder());
      return finish(installCni({ ...flags, runFolder: runFolder(), stateFolder }));
    });
}
