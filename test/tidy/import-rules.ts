// Tidy rules about who may import whom: the fences that keep the three daemons apart and the outside world in one place.
//
// Biome holds the packages that pure code may not import; here is what it cannot say: which part may know which part.

import { type Complaint, type Import, importsOf, isCode, type Rule, type SourceFile } from './source.ts';

/** What may be imported by the code of each top-level folder, besides packages and itself. */
const MAY_KNOW: Readonly<Record<string, readonly string[]>> = {
  proto: [],
  lib: ['proto'],
  flanneld: ['lib', 'proto'],
  bgpd: ['lib', 'proto'],
  felix: ['lib', 'proto'],
  cni: ['lib', 'proto'],
  ctl: ['cni', 'lib', 'proto'],
  lab: ['ctl', 'lib', 'proto'],
};

/** Packages with one importer; their types too. */
const ONE_IMPORTER: Readonly<Record<string, string>> = {
  koffi: 'lib/kernel/syscalls.ts',
  etcd3: 'lib/registry/etcd-registry.ts',
};

/** Code that decides and does nothing else: it reaches the outside world neither itself nor through what it imports. */
const PURE = [
  'lib/net/',
  'lib/wire/',
  'lib/delta-tracker.ts',
  'lib/pending-keys.ts',
  'bgpd/rib/',
  'bgpd/session/session.ts',
  'felix/desired/',
  'lab/page/',
];
const OUTSIDE_WORLD = /^(node:.*|koffi|etcd3|pino|@grpc\/.*)$/;

/** The rules of this file. */
export const IMPORT_RULES: readonly Rule[] = [
  {
    name: 'no daemon imports another daemon, lib imports none, nothing imports a test',
    check: eachImport(({ from, to, line }) => {
      const [part, other] = [partOf(from), partOf(to)];
      const allowed = part === undefined ? undefined : MAY_KNOW[part];
      if (part === undefined || other === undefined || part === other || allowed?.includes(other) !== false) return [];
      return [`${from}:${line}: ${part} may not know ${to}`];
    }),
    planted: [
      [plant('felix/daemon.ts', "import { a } from '../flanneld/config.ts';")],
      [plant('lib/run/log.ts', "export { a } from '../../bgpd/rib/route.ts';")],
      [plant('bgpd/main.ts', "const a = await import('../felix/main.ts');")],
      [plant('ctl/main.ts', "import type {\n  A,\n  B,\n} from '../test/fakes/a.ts';")],
    ],
  },
  {
    name: 'koffi and etcd3 have one importer each',
    check: eachImport(({ from, to, line }) => {
      const name = Object.keys(ONE_IMPORTER).find(
        (packageName) => to === packageName || to.startsWith(`${packageName}/`),
      );
      return name === undefined || ONE_IMPORTER[name] === from
        ? []
        : [`${from}:${line}: only ${ONE_IMPORTER[name]} imports ${name}`];
    }),
    planted: [
      [plant('felix/daemon.ts', "import koffi from 'koffi';")],
      [plant('flanneld/lease/a.ts', "import type { Etcd3 } from 'etcd3';")],
      [plant('test/a.test.ts', "import 'etcd3/lib/errors.js';")],
    ],
  },
  {
    name: 'pure code reaches no I/O, by whatever way',
    check: pureComplaints,
    planted: [
      [
        plant('lib/run/log.ts', "import { pino } from 'pino';"),
        plant('bgpd/rib/a.ts', "import { log } from '../../lib/run/log.ts';"),
      ],
      [plant('lib/net/a.ts', "import { isIP } from 'node:net';")],
    ],
  },
];

function eachImport(check: (one: Import) => readonly Complaint[]): Rule['check'] {
  return (files) => files.filter(isCode).flatMap(importsOf).flatMap(check);
}

function pureComplaints(files: readonly SourceFile[]): readonly Complaint[] {
  const graph = new Map(files.filter(({ path }) => path.endsWith('.ts')).map((file) => [file.path, importsOf(file)]));
  return [...graph.keys()].flatMap((path) => {
    const way = PURE.some((start) => path.startsWith(start)) ? wayOutside(graph, path, new Set()) : undefined;
    return way === undefined ? [] : [way.join(' > ')];
  });
}

/** The imports that lead from `path` to the outside world; types lead nowhere. */
function wayOutside(
  graph: ReadonlyMap<string, readonly Import[]>,
  path: string,
  seen: Set<string>,
): readonly string[] | undefined {
  if (OUTSIDE_WORLD.test(path)) return [path];
  if (seen.has(path)) return undefined;
  seen.add(path);
  for (const { to, typeOnly } of graph.get(path) ?? []) {
    const rest = typeOnly ? undefined : wayOutside(graph, to, seen);
    if (rest !== undefined) return [path, ...rest];
  }
  return undefined;
}

/** The top-level folder of a path within the repo; `undefined` for a package. */
function partOf(path: string): string | undefined {
  const part = path.split('/')[0] ?? '';
  return part in MAY_KNOW || part === 'test' ? part : undefined;
}

function plant(path: string, text: string): SourceFile {
  return { path, text: `// What it is.\n// What it is not.\n\n${text}\n` };
}
