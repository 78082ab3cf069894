// The gingham command's arguments, but for `health`, which main.ts takes first to stay fast.
//
// Each command is a file of its own; here are only names, flags and help.

import { Command } from 'commander';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { runDaemon } from '../lib/run/lifecycle.ts';
import { createLogger } from '../lib/run/log.ts';
import { integer } from '../lib/run/settings.ts';
import { runOnTerminal } from './child.ts';
import { everywhereOption, runCommandLine } from './command-line.ts';
import { DAEMONS } from './daemon-http.ts';
import { drain } from './drain.ts';
import { health } from './health.ts';
import { startNode } from './node.ts';
import { nodePing } from './node-ping.ts';
import { nodeStatus } from './node-status.ts';
import { findPod } from './pod-place.ts';

const COUNT = integer(1, 1, 1_000, 'packets', 'packets for each pod');

const DRAIN_COMMANDS = [
  ['drain', true, 'have every other node use this one as the last choice only, before it leaves'],
  ['undrain', false, 'put this node back into service'],
] as const;

const HELP = `
Every command acts on the node that it runs on, through the sockets in its run folder.

Exit codes: 0 as asked; 1 not ready, or packets lost; 2 an argument is wrong; 3 subnet.env is wrong; 4 there is no pod,
no subnet or no daemon to ask, or this machine cannot make a namespace. pod-exec gives the command's own exit code.`;

/** Reads `argv` and runs the command; gives the code to exit with. Throws `ExitError`. */
export async function runCommand(argv: readonly string[], defaultRunFolder: string): Promise<number> {
  let exitCode: number = EXIT.ok;
  let runFolder = defaultRunFolder;
  const finish = async (work: Promise<number>): Promise<void> => {
    exitCode = await work;
  };
  const program = new Command('gingham')
    .description('Looks at this node of a gingham overlay, and pings across it.')
    .enablePositionalOptions()
    .addHelpText('after', HELP);
  program
    .command('status')
    .description('what the daemons of this node promise, check by check')
    .option('--json', 'as JSON')
    .action((flags: { json?: boolean }) => finish(nodeStatus(runFolder, flags.json === true)));
  program
    .command('ping')
    .description('from this node\'s pod to the pods of all nodes; "lost" counts pods that missed a packet')
    .option('--json', 'as JSON: {"pairs", "lost", "results"}')
    .option('--count <number>', `${COUNT.help} [${COUNT.accepts}]`, COUNT.default)
    .action((flags: { json?: boolean; count: string }) =>
      finish(nodePing(runFolder, countOf(flags.count), flags.json === true)),
    );
  program
    .command('pod-exec <command...>')
    .description("run a command in the network namespace of this node's pod: pod-exec -- ip route")
    .passThroughOptions()
    .action((command: readonly string[]) => finish(podExec(runFolder, command)));
  program
    .command('health <daemon>')
    .description(`0 when the daemon (${DAEMONS.join(', ')}) is ready; for container health checks`)
    .action((daemon: string) => finish(health(daemon, runFolder)));
  for (const [name, draining, description] of DRAIN_COMMANDS) {
    program
      .command(name)
      .description(description)
      .action(() => finish(drain(runFolder, draining)));
  }
  program
    .command('node')
    .description('be the main process of a node container: hold its namespace, plug its pod')
    .action(() => runDaemon(createLogger('node', 'info'), (context) => startNode(runFolder, context)));
  const folderHelp = `the daemons' run folder [GINGHAM_RUN_DIR; now ${defaultRunFolder}]`;
  everywhereOption(program, '--run-dir <folder>', 'run-dir', folderHelp, (value) => {
    runFolder = value;
  });
  return (await runCommandLine(program, argv)) || exitCode;
}

function countOf(raw: string): number {
  const count = COUNT.parse(raw);
  if (count !== undefined) return count;
  throw new ExitError(EXIT.usage, `gingham: --count ${JSON.stringify(raw)} is not accepted: it takes ${COUNT.accepts}`);
}

async function podExec(runFolder: string, command: readonly string[]): Promise<number> {
  const { inPod } = await findPod(runFolder);
  // commander hands a "--" on where options are passed through.
  return runOnTerminal([...inPod, ...(command[0] === '--' ? command.slice(1) : command)]);
}
