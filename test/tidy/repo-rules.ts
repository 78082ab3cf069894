// Tidy rules about files that must agree with each other: vectors and their twins, commands and scripts, pages and files.
//
// A vector's malformed twin has the vector's name and, after a dash, how it is malformed: `echo.hex`, `echo-truncated.hex`.
// A vector that lengthens another one's name and has a twin itself is no twin: `echo-options.hex`.

import { basename, dirname, extname, join } from 'node:path';
import type { Complaint, Rule, SourceFile } from './source.ts';

const PAGES = /(\.md|^\.ci\/run|^Dockerfile|\.yml)$/;
/** npm's own commands; the others are scripts. */
const NPM_COMMANDS = ['ci', 'install', 'prune', 'pack', 'test'];
const SCRIPTS = plant('package.json', '{"scripts": {"test": "vitest run", "lab": "node dist/lab/main.js"}}');

/** The rules of this file. */
export const REPO_RULES: readonly Rule[] = [
  {
    name: 'every vector has a malformed twin whose name says how; in .hex files a comment says what it is',
    check: vectorComplaints,
    planted: [
      [plant('test/vectors/echo.hex', '# RFC 1\n00\n')],
      [
        plant('test/vectors/echo.hex', '00\n'),
        plant('test/vectors/echo-truncated.hex', '# Malformed twin of echo: cut.\n'),
      ],
      [plant('test/vectors/echo.hex', '# RFC 1\n00\n'), plant('test/vectors/echo-truncated.hex', '# RFC 1, cut\n')],
      [
        plant('test/vectors/a/lease.json', '{}'),
        plant('test/vectors/b/lease.json', '{}'),
        plant('test/vectors/b/lease-bad-mac.json', '{}'),
      ],
    ],
  },
  {
    name: 'every npm script that a page tells of exists',
    check: scriptComplaints,
    planted: [
      [SCRIPTS, plant('README.md', 'Type `npm run laboratory -- up`.')],
      [SCRIPTS, plant('.ci/run', 'npm start\n')],
    ],
  },
  {
    name: 'every program that package.json starts exists',
    check: programComplaints,
    planted: [[plant('package.json', '{"bin": {"gingham": "dist/ctl/main.js"}, "scripts": {}}')], [SCRIPTS]],
  },
  {
    name: 'every path that a page names exists',
    check: pathComplaints,
    planted: [[plant('lib/run/log.ts', ''), plant('ARCHITECTURE.md', 'See `lib/run/log.ts` and `lib/run/clock.ts`.')]],
  },
];

function plant(path: string, text: string): SourceFile {
  return { path, text };
}

function vectorComplaints(files: readonly SourceFile[]): readonly Complaint[] {
  const vectors = files.filter(({ path }) => path.startsWith('test/vectors/') && /\.(hex|json)$/.test(path));
  return vectors.flatMap(({ path, text }) => {
    const stem = stemOf(path);
    const stems = vectors.map((vector) => stemOf(vector.path)).filter((other) => dirname(other) === dirname(stem));
    const hasTwin = stems.some((other) => other.startsWith(`${stem}-`));
    const original = stems.filter((other) => stem.startsWith(`${other}-`)).toSorted((a, b) => b.length - a.length)[0];
    if (!hasTwin && original === undefined) return [`${path}: it has no malformed twin and is none`];
    if (!path.endsWith('.hex') || (hasTwin && text.startsWith('# '))) return [];
    if (original !== undefined && text.startsWith(`# Malformed twin of ${basename(original)}: `)) return [];
    return [`${path}: its first line does not say what it is ("# Malformed twin of <name>: ..." where it is one)`];
  });
}

function stemOf(path: string): string {
  return join(dirname(path), basename(path, extname(path)));
}

interface Package {
  readonly scripts?: Readonly<Record<string, string>>;
  readonly bin?: Readonly<Record<string, string>>;
}

function readPackage(files: readonly SourceFile[]): Package {
  return JSON.parse(files.find(({ path }) => path === 'package.json')?.text ?? '{}') as Package;
}

function scriptComplaints(files: readonly SourceFile[]): readonly Complaint[] {
  const scripts = Object.keys(readPackage(files).scripts ?? {});
  return files
    .filter(({ path }) => PAGES.test(path))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/\bnpm (run (?:--?\w+ )*)?([a-z][\w:-]*)/g)].flatMap(([command, run, name = '']) =>
        scripts.includes(name) || (run === undefined && NPM_COMMANDS.includes(name)) || /npm packages?/.test(command)
          ? []
          : [`${path}: package.json has no script for "${command}"`],
      ),
    );
}

function programComplaints(files: readonly SourceFile[]): readonly Complaint[] {
  const { scripts = {}, bin = {} } = readPackage(files);
  const paths = new Set(files.map(({ path }) => path));
  const started = [...Object.values(scripts), ...Object.values(bin)].flatMap(
    (command) => command.match(/[\w./-]+\.m?js\b/g) ?? [],
  );
  const sources = new Set(started.map((path) => path.replace(/^dist\/(.*)\.js$/, '$1.ts')));
  return [...sources].filter((path) => !paths.has(path)).map((path) => `package.json: there is no ${path}`);
}

function pathComplaints(files: readonly SourceFile[]): readonly Complaint[] {
  const known = new Set(files.flatMap(({ path }) => [path, ...foldersOf(path)]));
  const tops = new Set([...known].map((path) => path.split('/')[0]));
  return files
    .filter(({ path }) => path.endsWith('.md'))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/`([\w.-]+(?:\/[\w.-]+)*)\/?`/g)].flatMap(([, named = '']) =>
        named.includes('/') && tops.has(named.split('/')[0]) && !known.has(named)
          ? [`${path}: there is no ${named}`]
          : [],
      ),
    );
}

function foldersOf(path: string): readonly string[] {
  const folder = dirname(path);
  return folder === '.' ? [] : [folder, ...foldersOf(folder)];
}
