// Writes docs/reference from the code: flags, commands, metrics, and the JSON that commands print. `npm run reference`.
//
// With --check nothing is written: it ends with 1 and names each page that is not what the code says.

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { z } from 'zod';
import { PROGRAM as BGPD, SETTINGS as BGPD_SETTINGS } from '../bgpd/config.ts';
import { bgpdMetrics } from '../bgpd/metrics.ts';
import { commandTree } from '../ctl/commands.ts';
import { doctorAnswer } from '../ctl/doctor/doctor.ts';
import { dropsAnswer } from '../ctl/drops.ts';
import { eventAnswer } from '../ctl/events.ts';
import { leasesAnswer } from '../ctl/leases.ts';
import { statusAnswer } from '../ctl/node-status.ts';
import { nodesAnswer } from '../ctl/nodes.ts';
import { peersAnswer } from '../ctl/peers.ts';
import { routesAnswer } from '../ctl/routes.ts';
import { topAnswer } from '../ctl/top.ts';
import { PROGRAM as FELIX, SETTINGS as FELIX_SETTINGS } from '../felix/config.ts';
import { felixMetrics } from '../felix/metrics.ts';
import { PROGRAM as FLANNELD, SETTINGS as FLANNELD_SETTINGS } from '../flanneld/config.ts';
import { type FlanneldView, registerMetrics } from '../flanneld/status.ts';
import { type Program, type SettingTable, variableOf } from '../lib/run/settings.ts';
import { Metrics } from '../lib/run/status-server.ts';

const FOLDER = join(import.meta.dirname, '../../docs/reference');
const NOTICE = '<!-- Made from the code by "npm run reference": change the code, not this page. -->';

/** The answers that have a schema: `gingham <name> --json`. */
const ANSWERS: Readonly<Record<string, z.ZodType>> = {
  status: statusAnswer,
  nodes: nodesAnswer,
  peers: peersAnswer,
  leases: leasesAnswer,
  drops: dropsAnswer,
  routes: routesAnswer,
  events: eventAnswer,
  top: topAnswer,
  doctor: doctorAnswer,
};

type Pages = ReadonlyMap<string, string>;

const pages: Pages = new Map([
  ['flags.md', flagsPage()],
  ['commands.md', commandsPage()],
  ['metrics.md', await metricsPage()],
  ...Object.entries(ANSWERS).map(
    ([name, schema]) => [`schemas/${name}.json`, `${JSON.stringify(z.toJSONSchema(schema), undefined, 2)}\n`] as const,
  ),
]);
process.exitCode = process.argv.includes('--check') ? await check() : await write();

async function write(): Promise<number> {
  await rm(FOLDER, { recursive: true, force: true });
  for (const [path, text] of pages) {
    await mkdir(dirname(join(FOLDER, path)), { recursive: true });
    await writeFile(join(FOLDER, path), text);
  }
  return 0;
}

async function check(): Promise<number> {
  const present = await readdir(FOLDER, { recursive: true }).catch(() => []);
  const extra = present.filter((path) => path.includes('.') && !pages.has(path));
  const wrong: string[] = [];
  for (const [path, text] of pages) {
    const now = await readFile(join(FOLDER, path), 'utf8').catch(() => '');
    if (now !== text) wrong.push(path);
  }
  for (const path of wrong)
    process.stderr.write(`docs/reference/${path} is not what the code says: npm run reference\n`);
  for (const path of extra) process.stderr.write(`docs/reference/${path} is made from nothing: npm run reference\n`);
  return wrong.length + extra.length === 0 ? 0 : 1;
}

function page(title: string, intro: string, body: readonly string[]): string {
  return `${[NOTICE, '', `# ${title}`, '', intro, '', ...body].join('\n').trimEnd()}\n`;
}

function flagsPage(): string {
  const programs: readonly (readonly [Program, SettingTable])[] = [
    [FLANNELD, FLANNELD_SETTINGS],
    [BGPD, BGPD_SETTINGS],
    [FELIX, FELIX_SETTINGS],
  ];
  const body = programs.flatMap(([program, table]) => [
    `## ${program.name}`,
    '',
    '| flag | variable | default | accepts | what it is |',
    '|---|---|---|---|---|',
    ...Object.entries(table).map(([flag, setting]) => {
      const fallback = setting.default === '' ? '' : `\`${setting.default}\``;
      const cells = [`\`--${flag}\``, `\`${variableOf(program, flag)}\``, fallback, setting.accepts, setting.help];
      return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
    }),
    '',
  ]);
  const intro = 'A flag wins over its variable, the variable over the default. `--check-settings` reads all and ends.';
  return page('Flags and variables of the daemons', intro, body);
}

function commandsPage(): string {
  const program = commandTree({ runFolder: '/run/gingham', exitCode: 0 });
  const body = program.commands.flatMap((command) => [
    `## gingham ${command.name()}`,
    '',
    '```',
    helpOf(command),
    '```',
    '',
  ]);
  return page('The gingham command', 'What `gingham <command> --help` prints.', body);
}

function helpOf(command: Command): string {
  return command.configureHelp({ helpWidth: 100 }).helpInformation().trimEnd();
}

async function metricsPage(): Promise<string> {
  const flanneld = new Metrics('flanneld');
  // Only names, kinds and helps are read: nothing of this view is shown.
  registerMetrics(flanneld, { phase: '', etcd: { connected: true } } as FlanneldView);
  const bgpd = new Metrics('bgpd');
  bgpdMetrics(bgpd, () => undefined);
  const felix = new Metrics('felix');
  felixMetrics(felix);
  const body: string[] = [];
  for (const [name, metrics] of Object.entries({ flanneld, bgpd, felix })) {
    const own = (await metrics.registry.getMetricsAsJSON()).filter((metric) => metric.name.startsWith(metrics.prefix));
    body.push(`## ${name}`, '', '| metric | kind | what it counts |', '|---|---|---|');
    for (const metric of own) {
      body.push(`| \`${metric.name}\` | ${metric.type} | ${metric.help} |`);
    }
    body.push('');
  }
  const intro = 'At `/metrics` of each daemon, in the text format of Prometheus, besides those of the process itself.';
  return page('Metrics', intro, body);
}
