// The lab's command line: `npm run lab -- <command>`. Reads arguments, checks the machine, calls the command.
//
// Wrong arguments end with one line that says what is accepted, before anything is made.

import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { Command } from 'commander';
import { everywhereOption, runCommandLine } from '../ctl/command-line.ts';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { runMain } from '../lib/run/lifecycle.ts';
import { down, exec, kill, ping, start, status, theLab, up } from './commands.ts';
import { showLog } from './logs.ts';
import { findProcess } from './node-daemons.ts';
import {
  BACKEND,
  COUNT,
  DRIVER,
  LAB_NAME,
  type LabOptions,
  MODE,
  NODES,
  nodeBackend,
  optionValue,
  RUNS,
  SEED,
  SIGNAL,
} from './options.ts';
import { addResultCommands } from './result-commands.ts';
import { type DriverName, listScenarios, runScenarios } from './run/run-command.ts';
import { optionsOf, readTopology, topologySource } from './topology-spec.ts';
import { namesIn, shippedFolder, type YamlSource } from './yaml-file.ts';

/** Scenarios have a lab of their own, so that the one that stands is left alone. */
const RUN_LABS = { netns: 'run', compose: 'compose' } as const;
const TOOLS = ['ip', 'etcd', 'ping', 'sh'];
/** What steps of scenarios need beyond that. */
const RUN_TOOLS = { netns: [...TOOLS, 'nft', 'tc', 'etcdctl'], compose: ['ip', 'nft', 'nsenter', 'docker'] } as const;

const HELP = `
Places: node1 (a node's namespace), node1/pod (its pod's), router, etcd. Processes: node1/flanneld, node1/bgpd,
node1/felix, etcd. State and logs are under /run/gingham-lab/<name>/.

Exit codes: 0 as asked; 1 not converged, not ready, packets lost, or not as a scenario expects; 2 an argument is wrong; 3 the lab's record is not
readable; 4 this machine cannot run it, or there is no such lab; 5 another command changes the lab, it runs with other
options, or its names are taken; 130 interrupted. exec gives the command's own exit code.`;

interface RunFlags {
  readonly driver: string;
  readonly all?: boolean;
  readonly runs: string;
  readonly seed: string;
  readonly json?: boolean;
  readonly output: string;
}

interface UpFlags {
  readonly nodes?: string;
  readonly topology?: string;
  readonly backend?: string;
  readonly mode?: string;
  readonly nodeBackend?: readonly string[];
}

await runMain(async () => {
  // Debian keeps ip in sbin, which a user's PATH may lack even after becoming root.
  process.env['PATH'] = [process.env['PATH'] ?? '', '/usr/sbin', '/sbin'].join(delimiter);
  process.exitCode = await main(process.argv.slice(2));
});

async function main(argv: readonly string[]): Promise<number> {
  let exitCode: number = EXIT.ok;
  const program = new Command('lab')
    .description('A gingham cluster in network namespaces on this machine.')
    .addHelpText('after', HELP)
    .enablePositionalOptions();
  let name = LAB_NAME.default;
  const named = (): string => optionValue('--name', LAB_NAME, name);
  const finish = (work: Promise<number>): Promise<void> =>
    work.then((code) => {
      exitCode = code;
    });
  addLifeCommands(program, named, finish);
  addLookCommands(program, named, finish);
  addProcessCommands(program, named, finish);
  addRunCommands(program, (driver) => (name === LAB_NAME.default ? RUN_LABS[driver] : named()), finish);
  addResultCommands(program, finish);
  const nameHelp = `${LAB_NAME.help} [${LAB_NAME.accepts}; default ${LAB_NAME.default}]`;
  everywhereOption(program, '--name <name>', 'name', nameHelp, (value) => {
    name = value;
  });
  return (await runCommandLine(program, argv)) || exitCode;
}

type Named = () => string;
type Finish = (work: Promise<number>) => Promise<void>;

function addLifeCommands(program: Command, named: Named, finish: Finish): void {
  program
    .command('up')
    .description('make the lab (or complete the one that runs), wait until it has converged, ping all pods')
    .option('--nodes <number>', `${NODES.help} [${NODES.accepts}; default ${NODES.default}]`)
    .option('--backend <name>', `${BACKEND.help} [${BACKEND.accepts}; default ${BACKEND.default}]`)
    .option(
      '--topology <name>',
      `a file, or one of ${namesIn(shippedFolder('topologies')).join(', ')}; instead of the options above and below`,
    )
    .option('--mode <name>', `${MODE.help} [${MODE.accepts}; default ${MODE.default}]`)
    .option('--node-backend <node=backend...>', 'another backend for one node, as node2=vxlan-user; may be repeated')
    .action((flags: UpFlags) => {
      const given = upOptions(flags);
      const source = flags.topology === undefined ? undefined : topologyFlag(flags.topology, given);
      checkMachine();
      return finish(up(named(), source === undefined ? given : optionsOf(readTopology(source)), source));
    });
  program
    .command('down')
    .description('remove the lab, whole or half-made')
    .action(() => {
      checkMachine();
      return finish(down(named()));
    });
}

function addLookCommands(program: Command, named: Named, finish: Finish): void {
  program
    .command('status')
    .description('what every node has and whether it is ready')
    .option('--json', 'as JSON')
    .action((flags: { json?: boolean }) => finish(status(named(), flags.json === true)));
  program
    .command('ping')
    .description('ping every pod from every pod; "lost" counts pairs that lost a packet')
    .option('--json', 'as JSON: {"pairs", "lost", "results"}')
    .option('--count <number>', `${COUNT.help} [${COUNT.accepts}]`, COUNT.default)
    .action((flags: { json?: boolean; count: string }) => {
      const count = optionValue('--count', COUNT, flags.count);
      checkMachine();
      return finish(ping(named(), count, flags.json === true));
    });
  program
    .command('logs <process>')
    .description('the log of node1/felix and the like')
    .option('-f, --follow', 'go on until Ctrl-C')
    .action(async (name: string, flags: { follow?: boolean }) => {
      const place = findProcess(await theLab(named()), name);
      const stop = new AbortController();
      process.once('SIGINT', () => stop.abort());
      process.stdout.on('error', () => stop.abort());
      await showLog(place, flags.follow === true, process.stdout, stop.signal);
    });
}

function addProcessCommands(program: Command, named: Named, finish: Finish): void {
  program
    .command('exec <place> <command...>')
    .description('run a command in a place of the lab: exec node1 -- ip route')
    .passThroughOptions()
    .action((place: string, command: readonly string[]) => {
      checkMachine();
      return finish(exec(named(), place, command));
    });
  program
    .command('kill <process>')
    .description('send a signal to a process of the lab')
    .option('--signal <name>', `${SIGNAL.help} [${SIGNAL.accepts}]`, SIGNAL.default)
    .action((name: string, flags: { signal: string }) =>
      finish(kill(named(), name, optionValue('--signal', SIGNAL, flags.signal.replace(/^SIG/, '')))),
    );
  program
    .command('start <process>')
    .description('start a process that has ended')
    .action((name: string) => {
      checkMachine();
      return finish(start(named(), name));
    });
}

/** The file that was named; throws `ExitError` where options were given that it decides. */
function topologyFlag(nameOrPath: string, given: Partial<LabOptions>): YamlSource {
  const [other] = Object.keys(given);
  if (other === undefined) return topologySource(nameOrPath);
  throw new ExitError(EXIT.usage, `lab: --topology says ${other} itself: give one or the other`);
}

function addRunCommands(program: Command, named: (driver: DriverName) => string, finish: Finish): void {
  program
    .command('run [scenario...]')
    .description('break a cluster on purpose and see it converge; a file, or a name that "scenarios" lists')
    .option('--all', 'every shipped scenario that the driver can do')
    .option('--driver <name>', `${DRIVER.help} [${DRIVER.accepts}]`, DRIVER.default)
    .option('--runs <number>', `${RUNS.help} [${RUNS.accepts}]`, RUNS.default)
    .option('--seed <number>', `${SEED.help} [${SEED.accepts}]`, SEED.default)
    .option('--json', 'figures as JSON on standard output')
    .option('--output <file>', 'where all that was measured goes', 'results.json')
    .action((names: readonly string[], flags: RunFlags) => {
      const runs = optionValue('--runs', RUNS, flags.runs);
      const seed = optionValue('--seed', SEED, flags.seed);
      const driver = optionValue('--driver', DRIVER, flags.driver);
      checkMachine(RUN_TOOLS[driver], driver === 'netns' ? 'lab' : 'compose');
      const { all = false, json = false, output } = flags;
      return finish(runScenarios(named(driver), { driver, names, all, runs, seed, json, output }));
    });
  program
    .command('scenarios')
    .description('what there is to run, and what each teaches')
    .option('--json', 'as JSON')
    .action((flags: { json?: boolean }) => {
      process.exitCode = listScenarios(flags.json === true);
    });
}

function upOptions(flags: UpFlags): Partial<LabOptions> {
  return {
    ...(flags.nodes === undefined ? {} : { nodes: optionValue('--nodes', NODES, flags.nodes) }),
    ...(flags.backend === undefined ? {} : { backend: optionValue('--backend', BACKEND, flags.backend) }),
    ...(flags.mode === undefined ? {} : { mode: optionValue('--mode', MODE, flags.mode) }),
    ...(flags.nodeBackend === undefined
      ? {}
      : { nodeBackends: Object.fromEntries(flags.nodeBackend.map(nodeBackend)) }),
  };
}

/** Throws `ExitError` (environment) where this machine lacks what a lab needs. */
function checkMachine(tools: readonly string[] = TOOLS, purpose = 'lab'): void {
  if (process.platform !== 'linux') throw new ExitError(EXIT.environment, 'lab: network namespaces need Linux');
  if (process.getuid?.() !== 0) throw new ExitError(EXIT.environment, 'lab: network namespaces need root: use sudo');
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const missing = tools.filter((tool) => !folders.some((folder) => existsSync(join(folder, tool))));
  if (missing.length === 0) return;
  throw new ExitError(
    EXIT.environment,
    `lab: missing: ${missing.join(', ')}. "node setup.mjs ${purpose}" installs them`,
  );
}
