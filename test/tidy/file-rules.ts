// Tidy rules about one file at a time: its header, its size, its name, its interfaces, what may not stand in it.
//
// What biome and oxlint check (function length, enums, default exports, cycles, purity of packages) is not repeated.

import { basename } from 'node:path';
import {
  blankOut,
  type Complaint,
  isCode,
  isGenerated,
  lineAt,
  lineCount,
  type Rule,
  type SourceFile,
} from './source.ts';

const HEADER_LINES = { min: 2, max: 10 };
/** A blank line, an indented one, or one of a bit diagram. */
const FIGURE_LINE = /^\/\/(\s*$| {3,}\S| +[|+]| +\d( +\d)+ *$)/;
const MAX_FILE_LINES = 350;
const MAX_METHODS = 8;
const BANNED_NAMES = ['utils', 'util', 'helpers', 'helper', 'common', 'types', 'misc', 'index'];
const KEBAB_FOLDER = /^\.?[a-z0-9]+(-[a-z0-9]+)*$/;
const KEBAB_FILE = /^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)*\.(ts|mjs)$/;
/** Written in two halves, so that this file does not break its own rule. */
const UNFINISHED = new RegExp(
  `\\b(${['TO_DO', 'FIX_ME', 'XX_X', 'HA_CK'].map((w) => w.replace('_', '')).join('|')})\\b`,
  'g',
);
const HEADER = '// What it is.\n// What it is not.\n\n';

/** The rules of this file. */
export const FILE_RULES: readonly Rule[] = [
  {
    name: `every code file opens with a comment of ${HEADER_LINES.min} to ${HEADER_LINES.max} lines (figures aside) and a blank line`,
    check: each(isCode, headerComplaints),
    planted: [
      [plant('lib/a.ts', 'export const a = 1;\n')],
      [plant('lib/a.ts', '// One line only.\n\nexport const a = 1;\n')],
      [plant('lib/a.ts', `${'// Line.\n'.repeat(11)}\nexport const a = 1;\n`)],
      [plant('lib/a.ts', '// Belongs to a, it seems.\n// More of it.\nexport const a = 1;\n')],
    ],
  },
  {
    name: `no code file has more than ${MAX_FILE_LINES} lines`,
    check: each(isCode, (file) => {
      const lines = lineCount(file.text);
      return lines > MAX_FILE_LINES ? [`${file.path}: ${lines} lines`] : [];
    }),
    planted: [[plant('lib/a.ts', `${HEADER}${'a();\n'.repeat(348)}`)]],
  },
  {
    name: 'names are kebab-case and name one thing',
    check: each(isCode, nameComplaints),
    planted: [
      [plant('lib/pathGroup.ts', HEADER)],
      [plant('lib/Kernel/link.ts', HEADER)],
      [plant('lib/run/utils.ts', HEADER)],
      [plant('lib/net/index.ts', HEADER)],
      [plant('test/helpers.mjs', HEADER)],
    ],
  },
  {
    name: `no interface has more than ${MAX_METHODS} methods`,
    check: each(isCode, interfaceComplaints),
    planted: [
      [plant('lib/a.ts', `interface Big {\n${methods(5)}${methods(4, 'b')}}\n`)],
      [plant('lib/a.ts', `interface Generic<T> extends Base<T> {\n${methods(9, 'c<T>')}}\n`)],
      [plant('lib/a.ts', `interface Fields {\n${'  readonly onX: (a: number) => void;\n'.repeat(9)}}\n`)],
    ],
  },
  {
    name: 'nothing is marked as unfinished',
    check: each(
      (file) => !isGenerated(file),
      (file) => matches(file.path, file.text, UNFINISHED),
    ),
    planted: [[plant('README.md', `Works.\n${'TO'}DO: make it work.\n`)], [plant('lib/a.ts', `// ${'FIX'}ME later\n`)]],
  },
  {
    name: 'no test runs alone; one that is left out says why on the line above',
    check: each((file) => file.path.endsWith('.test.ts') || file.path.endsWith('.contract.ts'), leftOutComplaints),
    planted: [
      [plant('test/a.test.ts', 'it.only("works", () => {});\n')],
      [plant('test/a.test.ts', 'describe.skip("works", () => {});\n')],
      [plant('test/a.test.ts', '// Runs it.\n\nit.todo("works");\n')],
    ],
  },
  {
    name: 'no test sleeps: it asks again until a fact holds (test/eventually.ts)',
    check: each(
      (file) => file.path.endsWith('.test.ts') || file.path.endsWith('.contract.ts'),
      (file) =>
        matches(file.path, blankOut(file.text), /\bsetTimeout\(\s*(resolve|done)\b|\bsleep\(|=>\s*setTimeout\(/g),
    ),
    planted: [[plant('test/a.test.ts', 'await new Promise((resolve) => setTimeout(resolve, 500));\n')]],
  },
];

function each(
  concerns: (file: SourceFile) => boolean,
  check: (file: SourceFile) => readonly Complaint[],
): Rule['check'] {
  return (files) => files.filter(concerns).flatMap(check);
}

function plant(path: string, text: string): SourceFile {
  return { path, text };
}

function methods(count: number, name = 'a'): string {
  return `  /** Does (it). */\n  ${name}(argument: string): void;\n`.repeat(count);
}

function matches(path: string, text: string, pattern: RegExp): readonly Complaint[] {
  return [...text.matchAll(pattern)].map((match) => `${path}:${lineAt(text, match.index)}: ${match[0]}`);
}

/** Figures (bit diagrams, topologies) are not counted: a codec's header shows the whole format. */
function headerComplaints({ path, text }: SourceFile): readonly Complaint[] {
  const lines = text.replace(/^#![^\n]*\n/, '').split('\n');
  const end = lines.findIndex((line) => !line.startsWith('//'));
  const header = lines.slice(0, end === -1 ? lines.length : end);
  const length = header.filter((line) => !FIGURE_LINE.test(line)).length;
  if (length < HEADER_LINES.min || length > HEADER_LINES.max) return [`${path}: a header of ${length} lines`];
  return lines[header.length] === '' ? [] : [`${path}: no blank line after the header`];
}

function nameComplaints({ path }: SourceFile): readonly Complaint[] {
  const file = basename(path);
  const folders = path.split('/').slice(0, -1);
  const wrong = [...folders.filter((name) => !KEBAB_FOLDER.test(name)), ...(KEBAB_FILE.test(file) ? [] : [file])];
  const said = [...folders, file.replace(/\..*/, '')].filter((name) => BANNED_NAMES.includes(name));
  return [
    ...wrong.map((name) => `${path}: ${name} is not kebab-case`),
    ...said.map((name) => `${path}: ${name} says nothing`),
  ];
}

function interfaceComplaints({ path, text }: SourceFile): readonly Complaint[] {
  const code = blankOut(text);
  return [...code.matchAll(/\binterface\s+(\w+)[^{]*\{/g)].flatMap((match) => {
    const body = bodyFrom(code, match.index + match[0].length);
    const count = [...body.matchAll(/^[ \t]*(readonly\s+)?\w+\??(<[^(]*>)?(\(|:\s*\([^)]*\)\s*=>)/gm)].length;
    return count > MAX_METHODS ? [`${path}: interface ${match[1]} has ${count} methods`] : [];
  });
}

/** What stands at the first level of the braces that were opened before `start`. */
function bodyFrom(code: string, start: number): string {
  let depth = 1;
  let body = '';
  for (const character of code.slice(start)) {
    if (character === '}') depth--;
    if (depth === 0) break;
    if (depth === 1) body += character;
    if (character === '{') depth++;
  }
  return body;
}

function leftOutComplaints({ path, text }: SourceFile): readonly Complaint[] {
  const lines = text.split('\n');
  return blankOut(text)
    .split('\n')
    .flatMap((line, index) => {
      const call = /\b(?:it|test|describe)(?:\.\w+)*\.(only|skip|skipIf|runIf|todo|fails)\b/.exec(line)?.[1];
      if (call === undefined) return [];
      const reason = lines[index - 1]?.trim().startsWith('//') || lines[index]?.includes('//');
      return call === 'only' || !reason ? [`${path}:${index + 1}: .${call}`] : [];
    });
}
