// Commands that read results.json and make pages of it: `lab page`, `lab compare`, `lab table`.
//
// They need neither root nor a lab. What they write is made in lab/page/; here files are read, checked and written.

import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Command } from 'commander';
import { renderTable } from '../ctl/table.ts';
import { EXIT, ExitError, errorText } from '../lib/run/exit.ts';
import { compareResults, RULE } from './page/comparison.ts';
import { comparisonNotes, comparisonPage, comparisonTable } from './page/comparison-report.ts';
import { convergencePage } from './page/convergence-table.ts';
import { resultPage } from './page/result-page.ts';
import { RESULTS_SCHEMA, type Results, resultsSchema } from './results/results-schema.ts';

interface CompareFlags {
  readonly json?: boolean;
  readonly html?: string;
}

/** Adds the commands; `finish` takes their exit code. */
export function addResultCommands(program: Command, finish: (work: Promise<number>) => Promise<void>): void {
  program
    .command('page <results>')
    .description('one HTML page of a results.json: topology, timeline, distribution, stages')
    .option('--output <file>', 'where it goes [default: beside it, results.html]')
    .action((path: string, { output }: { output?: string }) => finish(writePage(path, output ?? pagePath(path))));
  program
    .command('compare <before> <after>')
    .description('two results.json side by side; exit code 1 on a regression')
    .option('--json', 'as JSON')
    .option('--html <file>', 'a page as well')
    .addHelpText('after', `\n${RULE}`)
    .action((before: string, after: string, flags: CompareFlags) => finish(compare(before, after, flags)));
  program
    .command('table <results>')
    .description('all scenarios of a results.json as a Markdown page: docs/convergence.md')
    .option('--output <file>', 'where it goes [default: standard output]')
    .action((path: string, { output }: { output?: string }) => finish(writeTable(path, output)));
}

/** The page beside a results.json: results.html. */
export function pagePath(results: string): string {
  return `${results.replace(/\.json$/, '')}.html`;
}

async function writePage(path: string, output: string): Promise<number> {
  await write(output, resultPage(await readResults(path)));
  process.stdout.write(`${output}\n`);
  return EXIT.ok;
}

async function writeTable(path: string, output: string | undefined): Promise<number> {
  const text = convergencePage(await readResults(path), basename(path));
  if (output === undefined) process.stdout.write(text);
  else await write(output, text);
  return EXIT.ok;
}

async function compare(before: string, after: string, { json, html }: CompareFlags): Promise<number> {
  const both = [await readResults(before), await readResults(after)] as const;
  const comparison = compareResults(...both);
  if (html !== undefined) await write(html, comparisonPage(comparison, both, [before, after]));
  const [header = [], ...rows] = comparisonTable(comparison);
  const text = [...renderTable(header, rows), '', ...comparisonNotes(comparison)];
  const lines = json === true ? [JSON.stringify(comparison)] : text;
  process.stdout.write(`${lines.join('\n')}\n`);
  return comparison.regressions === 0 ? EXIT.ok : EXIT.internal;
}

/** Throws `ExitError` where the file cannot be read or is no result, with the field. */
async function readResults(path: string): Promise<Results> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new ExitError(EXIT.usage, `lab: cannot read ${path}`, { cause });
  });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ExitError(EXIT.usage, `lab: ${path} is no JSON: ${errorText(error)}`);
  }
  const parsed = resultsSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const field = issue?.path.join('.') || 'the file';
  throw new ExitError(EXIT.usage, `lab: ${path}: ${field}: ${issue?.message}; it takes ${RESULTS_SCHEMA}`);
}

async function write(path: string, text: string): Promise<void> {
  await writeFile(path, text).catch((cause: unknown) => {
    throw new ExitError(EXIT.environment, `lab: cannot write ${path}`, { cause });
  });
}
