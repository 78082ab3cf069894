// Reads a YAML file by a schema: what is wrong is said in one line with file, line, field, and what is accepted.
//
// For topologies and scenarios. Nothing of a file with an error is used.

import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Document, isNode, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { EXIT, ExitError } from '../lib/run/exit.ts';

/** Reads the text by `schema`. Throws `ExitError` (config) that names the path, the line and the field. */
export function readYaml<S extends z.ZodType>({ path, text }: YamlSource, schema: S): z.output<S> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [syntax] = document.errors;
  if (syntax !== undefined) {
    const { line } = lines.linePos(syntax.pos[0]);
    throw wrong(path, line, (syntax.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, ''));
  }
  const parsed = schema.safeParse(document.toJS());
  if (parsed.success) return parsed.data;
  const issue = deepest(parsed.error.issues);
  const field = issue.path.join('.') || 'the file';
  const value = document.getIn(issue.path.map(key), false);
  const shown = value === undefined || typeof value === 'object' ? '' : ` ${JSON.stringify(value)}`;
  throw wrong(path, lineOf(document, lines, issue.path), `${field}${shown}: ${issue.message}`);
}

/** A file as it is: kept where what was made of it must be made again. */
export interface YamlSource {
  readonly path: string;
  readonly text: string;
}

/** Finds one of the shipped files by its name, or a file by its path. Throws `ExitError` with the names there are. */
export function yamlSource(folder: string, nameOrPath: string): YamlSource {
  const isPath = nameOrPath.includes('/') || nameOrPath.endsWith('.yaml');
  const path = isPath ? nameOrPath : `${folder}/${nameOrPath}.yaml`;
  try {
    return { path, text: readFileSync(path, 'utf8') };
  } catch (cause) {
    const known = isPath ? '' : `; there are ${namesIn(folder).join(', ')}`;
    throw new ExitError(EXIT.usage, `lab: cannot read ${path}${known}`, { cause });
  }
}

/** Names of the files in a folder, without `.yaml`. */
export function namesIn(folder: string): readonly string[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'));
  return files.map((file) => file.replace(/\.yaml$/, '')).sort();
}

/** Folder of shipped files, which tsc does not copy: beside dist/, in lab/. */
export function shippedFolder(name: string): string {
  const fromHere = import.meta.url.endsWith('.ts') ? `./${name}` : `../../lab/${name}`;
  return fileURLToPath(new URL(fromHere, import.meta.url));
}

/** A time as `200 ms`, `1.5 s` or `2 min`, in milliseconds. */
export const duration = z.string().transform((text, context) => {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?) ?(ms|s|min)$/.exec(text) ?? [];
  const factor = { ms: 1, s: 1_000, min: 60_000 }[unit];
  if (factor !== undefined) return Number(number) * factor;
  context.addIssue('takes a time such as 200 ms, 1.5 s or 2 min');
  return z.NEVER;
});

type Issue = z.core.$ZodIssue;

/** Of a union's issues the one that got furthest says what was meant. */
function deepest(issues: readonly Issue[]): Issue {
  const [first] = issues;
  if (first === undefined) throw new RangeError('no issue');
  if (first.code !== 'invalid_union') {
    return first.code === 'unrecognized_keys' ? { ...first, path: [...first.path, first.keys[0] ?? ''] } : first;
  }
  const inner = first.errors.filter((each) => each.length > 0).map(deepest);
  const best = inner.toSorted((a, b) => b.path.length - a.path.length)[0];
  return best === undefined || best.path.length === 0 ? first : { ...best, path: [...first.path, ...best.path] };
}

function lineOf(document: Document, lines: LineCounter, path: readonly PropertyKey[]): number {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length).map(key), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}

function key(part: PropertyKey): string | number {
  return typeof part === 'number' ? part : String(part);
}

function wrong(path: string, line: number, message: string): ExitError {
  return new ExitError(EXIT.config, `lab: ${path}:${line}: ${message}`);
}
