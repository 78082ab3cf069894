// `lab page`, `lab compare` and `lab table` as typed: files, exit codes, and what is said of a file that is no result.
//
// What the pages say is tested beside lab/page.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { addResultCommands, pagePath } from '../../../lab/result-commands.ts';
import { sampleResults } from './page/sample-results.ts';

let folder: string;
let said: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gingham-results-'));
  await put('a.json', JSON.stringify(sampleResults({ runs: 3 })));
  await put('b.json', JSON.stringify(sampleResults({ runs: 3, detectMs: 300 })));
  const [scenario] = sampleResults({}).scenarios;
  await put('field.json', JSON.stringify({ ...sampleResults({}), scenarios: [{ ...scenario, driver: 'vmware' }] }));
  await put('text.json', 'not JSON');
});

afterAll(() => rm(folder, { recursive: true, force: true }));

beforeEach(() => {
  said = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    said += String(text);
    return true;
  });
});

afterEach(() => vi.restoreAllMocks());

describe('lab page', () => {
  it('writes the page beside the result, or where it is told to', async () => {
    expect(await lab('page', at('a.json'))).toBe(0);
    expect(said).toBe(`${at('a.html')}\n`);
    expect(await readFile(at('a.html'), 'utf8')).toMatch(/^<!DOCTYPE html>/);
    await lab('page', at('a.json'), '--output', at('other.html'));
    expect(await readFile(at('other.html'), 'utf8')).toBe(await readFile(at('a.html'), 'utf8'));
    expect(pagePath('results')).toBe('results.html');
  });
});

describe('lab compare', () => {
  it.each([
    ['a.json', 'a.json', 0],
    ['a.json', 'b.json', 1],
    ['b.json', 'a.json', 0],
  ])('of %s and %s ends with %d', async (before, after, code) => {
    expect(await lab('compare', at(before), at(after))).toBe(code);
    expect(said).toContain('kill-node');
  });

  it('prints JSON and writes a page', async () => {
    expect(await lab('compare', at('a.json'), at('b.json'), '--json', '--html', at('compare.html'))).toBe(1);
    expect(JSON.parse(said)).toMatchObject({ regressions: 1, scenarios: [{ verdict: 'regression' }] });
    expect(await readFile(at('compare.html'), 'utf8')).toContain('✗ 1 regression');
  });
});

describe('lab table', () => {
  it('prints Markdown, or writes it', async () => {
    expect(await lab('table', at('a.json'))).toBe(0);
    const printed = said;
    expect(printed).toMatch(/^# Convergence\n/);
    await lab('table', at('a.json'), '--output', at('table.md'));
    expect(await readFile(at('table.md'), 'utf8')).toBe(printed);
  });
});

describe('a file that is no result', () => {
  it.each([
    ['absent.json', /^lab: cannot read .*absent\.json/],
    ['text.json', /^lab: .*text\.json is no JSON: /],
    ['field.json', /^lab: .*field\.json: scenarios\.0\.driver: .*"netns".*; it takes gingham-lab-results\/1$/],
  ])('%s is refused with what is wrong', async (name, message) => {
    await expect(lab('page', at(name))).rejects.toThrow(message);
    await expect(readFile(pagePath(at(name)))).rejects.toThrow('ENOENT');
  });
});

async function lab(...argv: readonly string[]): Promise<number | undefined> {
  let code: number | undefined;
  const program = new Command('lab');
  addResultCommands(program, async (work) => {
    code = await work;
  });
  await program.parseAsync(argv, { from: 'user' });
  return code;
}

function at(name: string): string {
  return join(folder, name);
}

function put(name: string, text: string): Promise<void> {
  return writeFile(at(name), text);
}
