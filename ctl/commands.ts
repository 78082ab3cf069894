// The gingham command's arguments, but for `health`, which main.ts takes first to stay fast.
//
// Each command is a file of its own; here are only names, flags and help.

import { Argument, Command } from 'commander';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { runDaemon } from '../lib/run/lifecycle.ts';
import { createLogger } from '../lib/run/log.ts';
import { integer, type Setting } from '../lib/run/settings.ts';
import { makeBundle } from './bundle.ts';
import { runOnTerminal } from './child.ts';
import { everywhereOption, runCommandLine } from './command-line.ts';
import { completionScript, SHELLS, type Shell } from './completion.ts';
import { DAEMONS } from './daemon-http.ts';
import { showDoctor } from './doctor/doctor.ts';
import { drain } from './drain.ts';
import { showDrops } from './drops.ts';
import { showEvents } from './events.ts';
import { health } from './health.ts';
import { showLeases } from './leases.ts';
import { startNode } from './node.ts';
import { nodePing } from './node-ping.ts';
import { nodeStatus } from './node-status.ts';
import { showNodes } from './nodes.ts';
import { showPeers } from './peers.ts';
import { addPodCommands, withoutDashes } from './pod-commands.ts';
import { findPod } from './pod-place.ts';
import { showRoutes } from './routes.ts';
import { showTop } from './top.ts';

const COUNT = integer(1, 1, 1_000, 'packets', 'packets for each pod');
const INTERVAL = integer(1_000, 100, 60_000, 'milliseconds', 'time between two looks');
const LOOKS = integer(1, 1, 1_000_000, 'looks', 'looks');

const DRAIN_COMMANDS = [
  ['drain', true, 'have every other node use this one as the last choice only, before it leaves'],
  ['undrain', false, 'put this node back into service'],
] as const;

const HELP = `
Every command acts on the node that it runs on, through the sockets in its run folder.

Exit codes: 0 all is well; 1 something is not (not ready, a session down, packets lost, a fault found); 2 an argument is
wrong; 3 subnet.env is wrong; 4 there is no pod, no subnet or no daemon to ask, or this machine cannot make a namespace;
5 the pod's name is taken. pod-exec, pod run and pod exec give the command's own exit code.`;

/** Where the commands look, and how the one that ran ended. */
export interface Run {
  runFolder: string;
  exitCode: number;
}

interface JsonFlag {
  readonly json?: boolean;
}

/** Reads `argv` and runs the command; gives the code to exit with. Throws `ExitError`. */
export async function runCommand(argv: readonly string[], defaultRunFolder: string): Promise<number> {
  const run: Run = { runFolder: defaultRunFolder, exitCode: EXIT.ok };
  const program = commandTree(run);
  return (await runCommandLine(program, argv)) || run.exitCode;
}

/** All commands; what is run leaves its exit code in `run`. Nothing is done before arguments are parsed. */
export function commandTree(run: Run): Command {
  const program = new Command('gingham')
    .description('Looks at a gingham overlay from one of its nodes, finds what is wrong with it, and pings across it.')
    .enablePositionalOptions()
    .addHelpText('after', HELP);
  addViews(program, run);
  addHelpers(program, run);
  addPods(program, run);
  addNodeCommands(program, run);
  const folderHelp = `the daemons' run folder [GINGHAM_RUN_DIR; now ${run.runFolder}]`;
  everywhereOption(program, '--run-dir <folder>', 'run-dir', folderHelp, (value) => {
    run.runFolder = value;
  });
  return program;
}

/** What shows a state: each prints a table, or JSON with --json. */
function addViews(program: Command, run: Run): void {
  const view = (
    name: string,
    description: string,
    show: (runFolder: string, json: boolean) => Promise<number>,
  ): Command =>
    program
      .command(name)
      .description(description)
      .option('--json', 'as JSON')
      .action((flags: JsonFlag) => finish(run, show(run.runFolder, flags.json === true)));
  program
    .command('status')
    .description('what the daemons of this node promise, check by check')
    .option('--all', 'every node, asked over the underlay whether it is ready')
    .option('--json', 'as JSON')
    .action(({ all, json }: JsonFlag & { all?: boolean }) =>
      finish(
        run,
        all === true ? showNodes(run.runFolder, true, json === true) : nodeStatus(run.runFolder, json === true),
      ),
    );
  view('nodes', 'every node: underlay address, subnet, session, routes', (folder, json) =>
    showNodes(folder, false, json),
  );
  view('peers', 'the sessions of bgpd, and why one is down', showPeers);
  view('leases', 'the leased subnets, and whether packets to them have a way', showLeases);
  view('drops', 'packets that this node threw away, where and why', showDrops);
  program
    .command('events')
    .description('what the daemons of this node did last; --follow goes on until Ctrl-C')
    .option('--follow', 'go on')
    .option('--json', 'one line of JSON an event')
    .action(({ follow, json }: JsonFlag & { follow?: boolean }) =>
      finish(run, showEvents(run.runFolder, { follow: follow === true, json: json === true })),
    );
  program
    .command('routes [prefix]')
    .description("bgpd's routes and why each is the best; of an address the longest match")
    .option('--explain', 'every candidate of one prefix, and the step at which it lost')
    .option('--json', 'as JSON')
    .action((prefix: string | undefined, { explain = false, json = false }: JsonFlag & { explain?: boolean }) =>
      finish(run, showRoutes(run.runFolder, { prefix, explain, json })),
    );
  program
    .command('top')
    .description('live view: daemons, sessions, routes, packets; ends with Ctrl-C')
    .option('--interval <milliseconds>', `${INTERVAL.help} [${INTERVAL.accepts}]`, INTERVAL.default)
    .option('--count <number>', 'end after so many looks')
    .option('--json', 'one line of JSON a look')
    .action(({ interval, count, json }: JsonFlag & { interval: string; count?: string }) =>
      finish(
        run,
        showTop(run.runFolder, {
          intervalMs: parsed(INTERVAL, '--interval', interval),
          count: count === undefined ? undefined : parsed(LOOKS, '--count', count),
          json: json === true,
        }),
      ),
    );
}

/** What helps when something is wrong, and at the prompt. */
function addHelpers(program: Command, run: Run): void {
  program
    .command('doctor')
    .description('look for what commonly breaks an overlay, and say how it is mended')
    .option('--etcd-endpoints <list>', 'members of etcd, where flanneld cannot be asked for them')
    .option('--json', 'as JSON')
    .action(({ etcdEndpoints = '', json }: JsonFlag & { etcdEndpoints?: string }) =>
      finish(run, showDoctor(run.runFolder, etcdEndpoints.split(',').filter(Boolean), json === true)),
    );
  program
    .command('bundle')
    .description('write an archive of states, tables and logs for whoever helps; secrets are removed')
    .option('--output <file>', 'the archive; by default gingham-<host>-<time>.tar.gz here')
    .action(({ output }: { output?: string }) => finish(run, makeBundle(run.runFolder, output)));
  program
    .command('completion')
    .description('print the completion script of a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .action((shell: Shell) => void process.stdout.write(completionScript(program, shell)));
}

function addPods(program: Command, run: Run): void {
  program
    .command('ping')
    .description('from this node\'s pod to the pods of all nodes; "lost" counts pods that missed a packet')
    .option('--json', 'as JSON: {"pairs", "lost", "results"}')
    .option('--count <number>', `${COUNT.help} [${COUNT.accepts}]`, COUNT.default)
    .action(({ json, count }: JsonFlag & { count: string }) =>
      finish(run, nodePing(run.runFolder, parsed(COUNT, '--count', count), json === true)),
    );
  program
    .command('pod-exec <command...>')
    .description("run a command in the network namespace of this node's pod: pod-exec -- ip route")
    .passThroughOptions()
    .action((command: readonly string[]) => finish(run, podExec(run.runFolder, command)));
  addPodCommands(
    program,
    () => run.runFolder,
    (work) => finish(run, work),
  );
}

/** What acts on the node, and what containers run. */
function addNodeCommands(program: Command, run: Run): void {
  for (const [name, draining, description] of DRAIN_COMMANDS) {
    program
      .command(name)
      .description(description)
      .action(() => finish(run, drain(run.runFolder, draining)));
  }
  program
    .command('health')
    .description('0 when the daemon is ready; for container health checks')
    .addArgument(new Argument('<daemon>', 'the daemon').choices(DAEMONS))
    .action((daemon: string) => finish(run, health(daemon, run.runFolder)));
  program
    .command('node')
    .description('be the main process of a node container: hold its namespace, plug its pod')
    .action(() => runDaemon(createLogger('node', 'info'), (context) => startNode(run.runFolder, context)));
}

async function finish(run: Run, work: Promise<number>): Promise<void> {
  run.exitCode = await work;
}

function parsed(setting: Setting<number>, flag: string, raw: string): number {
  const value = setting.parse(raw);
  if (value !== undefined) return value;
  throw new ExitError(
    EXIT.usage,
    `gingham: ${flag} ${JSON.stringify(raw)} is not accepted: it takes ${setting.accepts}`,
  );
}

async function podExec(runFolder: string, command: readonly string[]): Promise<number> {
  const { inPod } = await findPod(runFolder);
  return runOnTerminal([...inPod, ...withoutDashes(command)]);
}
