// The repo as the tidy rules see it: every file of ours as text, and the little reading of TypeScript that they need.
//
// No parser: the compiler has no JavaScript interface any more. Comments and strings are blanked out first, with line
// numbers kept, so that a pattern over what remains sees code only.

import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

export interface SourceFile {
  /** Relative to the repo, with `/`. */
  readonly path: string;
  readonly text: string;
}

/** One thing that is wrong; printed as it is. */
export type Complaint = string;

export interface Rule {
  /** What must hold, as a sentence about the repo. */
  readonly name: string;
  readonly check: (files: readonly SourceFile[]) => readonly Complaint[];
  /** Small repos that break the rule, each in one way: each must give exactly one complaint. */
  readonly planted: readonly (readonly SourceFile[])[];
}

export interface Import {
  readonly from: string;
  /** A package's name, `node:...`, or a path relative to the repo. */
  readonly to: string;
  readonly line: number;
  /** Erased by the compiler. */
  readonly typeOnly: boolean;
}

const NOT_OURS = new Set(['node_modules', 'dist', '.git', 'coverage', '.vitest', 'LICENSE', 'package-lock.json']);

/** Every file below `root` that people write; generated code is included, see `isGenerated`. */
export function readRepo(root: string, folder = ''): readonly SourceFile[] {
  const entries = readdirSync(join(root, folder), { withFileTypes: true });
  return entries.flatMap((entry): readonly SourceFile[] => {
    if (NOT_OURS.has(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return readRepo(root, path);
    return entry.isFile() ? [{ path, text: readFileSync(join(root, path), 'utf8') }] : [];
  });
}

/** Written by buf, never by hand. */
export function isGenerated(file: SourceFile): boolean {
  return file.path.startsWith('proto/gen/');
}

/** TypeScript and JavaScript that people write. */
export function isCode(file: SourceFile): boolean {
  return /\.(ts|mjs|cjs|js)$/.test(file.path) && !isGenerated(file);
}

/** How many lines the text has, a last line without line end included. */
export function lineCount(text: string): number {
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0);
}

/** Number of the line, from 1, in which `offset` lies. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length;
}

// Comments, then strings by their quote; a regular expression that holds a quote is not told apart, and need not be.
const COMMENT_OR_STRING = /\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;

/** The text with comments, and strings too unless `keepStrings`, turned into blanks; every line stays where it is. */
export function blankOut(text: string, keepStrings = false): string {
  return text.replaceAll(COMMENT_OR_STRING, (match) =>
    keepStrings && !match.startsWith('/') ? match : match.replaceAll(/[^\n]/g, ' '),
  );
}

const IMPORT =
  /^\s*(?:import|export)\s(type\s)?[^;]*?from\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]|^\s*import\s+['"]([^'"]+)['"]/gm;

/** Every import, re-export and dynamic import of a code file. */
export function importsOf(file: SourceFile): readonly Import[] {
  const code = blankOut(file.text, true);
  return [...code.matchAll(IMPORT)].map((match) => {
    const specifier = match[2] ?? match[3] ?? match[4] ?? '';
    const to = specifier.startsWith('.') ? normalize(join(dirname(file.path), specifier)) : specifier;
    return { from: file.path, to, line: lineAt(code, match.index + match[0].length), typeOnly: match[1] !== undefined };
  });
}
