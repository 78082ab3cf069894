// `gingham bundle`: one archive of what a person needs who is asked for help: states, tables, logs. Secrets are removed.
//
// What cannot be had is in the archive as the reason, so that a missing file is never a mystery.

import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { EXIT, ExitError } from '../lib/run/exit.ts';
import { askDaemon, DAEMONS } from './daemon-http.ts';
import { examine } from './doctor/checks.ts';
import { gatherFacts } from './doctor/gather.ts';
import { withoutSecrets } from './secrets.ts';
import { textOf } from './tool.ts';

/** The end of each log file, in characters. */
const LOG_CHARACTERS_MAX = 2_000_000;

const PAGES = ['/status', '/readyz', '/metrics', '/events'];

/** Files in the archive by the command whose output they are. */
const COMMANDS: Readonly<Record<string, readonly string[]>> = {
  'system/version.txt': ['uname', '-a'],
  'system/links.txt': ['ip', '-details', '-statistics', 'link', 'show'],
  'system/addresses.txt': ['ip', 'address', 'show'],
  'system/routes4.txt': ['ip', '-4', 'route', 'show', 'table', 'all'],
  'system/routes6.txt': ['ip', '-6', 'route', 'show', 'table', 'all'],
  'system/nexthops.txt': ['ip', 'nexthop', 'show'],
  'system/rules.txt': ['ip', 'rule', 'show'],
  'system/neighbours.txt': ['ip', 'neighbour', 'show'],
  'system/fdb.txt': ['bridge', 'fdb', 'show'],
  'system/nftables.txt': ['nft', 'list', 'ruleset'],
  'system/sockets.txt': ['ss', '-lntup'],
  'system/sysctl-ipv4.txt': ['sysctl', 'net.ipv4.ip_forward', 'net.ipv4.conf.all.rp_filter'],
  'logs/journal.txt': ['journalctl', '--no-pager', '-n', '5000', '-u', 'gingham-*'],
};

/** Writes the archive and prints its path; 0. Throws `ExitError` (environment) where it cannot be written. */
export async function makeBundle(runFolder: string, output: string | undefined): Promise<number> {
  const name = `gingham-${hostname()}-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`;
  const target = resolve(output ?? `${name}.tar.gz`);
  const scratch = await mkdtemp(join(tmpdir(), 'gingham-bundle-'));
  try {
    const folder = join(scratch, name);
    const files = await collect(runFolder);
    for (const [path, text] of files) {
      await mkdir(join(folder, path, '..'), { recursive: true });
      await writeFile(join(folder, path), withoutSecrets(text), { mode: 0o600 });
    }
    const packed = await textOf('tar', ['-C', scratch, '-czf', target, name]);
    if ('problem' in packed) throw new ExitError(EXIT.environment, `gingham bundle: ${target}: ${packed.problem}`);
    process.stdout.write(`${target}: ${files.length} files, passwords and keys removed\n`);
    return EXIT.ok;
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function collect(runFolder: string): Promise<readonly (readonly [path: string, text: string])[]> {
  const pages = DAEMONS.flatMap((daemon) =>
    PAGES.map(async (page) => {
      const answer = await askDaemon(runFolder, daemon, page);
      return [`${daemon}${page}.txt`, typeof answer === 'string' ? answer : answer.body] as const;
    }),
  );
  const outputs = Object.entries(COMMANDS).map(async ([path, [program = '', ...args]]) => {
    const outcome = await textOf(program, args);
    return [path, 'text' in outcome ? outcome.text : `${program} ${args.join(' ')}: ${outcome.problem}\n`] as const;
  });
  const findings = examine(await gatherFacts(runFolder, []));
  return Promise.all([
    ...pages,
    ...outputs,
    ...(await runFolderFiles(runFolder)),
    Promise.resolve(['doctor.json', `${JSON.stringify(findings, undefined, 2)}\n`] as const),
  ]);
}

/** subnet.env and the logs that the lab keeps beside the sockets. */
async function runFolderFiles(runFolder: string): Promise<readonly Promise<readonly [string, string]>[]> {
  const names = await readdir(runFolder).catch(() => []);
  return names
    .filter((name) => name.endsWith('.log') || name === 'subnet.env')
    .map(async (name) => {
      const text = await readFile(join(runFolder, name), 'utf8').catch((error: Error) => `${error.message}\n`);
      return [`${name.endsWith('.log') ? 'logs' : 'run'}/${basename(name)}`, text.slice(-LOG_CHARACTERS_MAX)] as const;
    });
}
