// The completion scripts in the shells themselves: bash and fish are asked what they would offer, zsh has a terminal in
// which Tab is pressed. A shell that is not installed is left out, and the test's name says so; `setup.mjs test` has them.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { commandTree } from '../../../ctl/commands.ts';
import { completionScript, SHELLS, type Shell } from '../../../ctl/completion.ts';

/** What is typed, and the only word that it can become. */
const UNIQUE = [
  { typed: ['pe'], becomes: 'peers' },
  { typed: ['doctor', '--e'], becomes: '--etcd-endpoints' },
  { typed: ['health', 'b'], becomes: 'bgpd' },
  { typed: ['completion', 'f'], becomes: 'fish' },
  { typed: ['ipam', 'sh'], becomes: 'show' },
] as const;

const program = commandTree({ runFolder: '/run/gingham', exitCode: 0 });
const folder = mkdtempSync(join(tmpdir(), 'gingham-completion-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The script of a shell, in a file. */
function scriptFile(shell: Shell): string {
  const file = join(folder, `gingham.${shell}`);
  writeFileSync(file, completionScript(program, shell));
  return file;
}

function isInstalled(shell: Shell): boolean {
  return spawnSync(shell, ['-c', 'true']).status === 0;
}

function said(shell: Shell, args: readonly string[]): string {
  return execFileSync(shell, args, { encoding: 'utf8', env: { ...process.env, HOME: folder, TERM: 'dumb' } });
}

function completedByBash(...words: readonly string[]): readonly string[] {
  const script = `source ${scriptFile('bash')}
COMP_WORDS=(gingham ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _gingham
printf '%s\\n' "\${COMPREPLY[@]}"`;
  return said('bash', ['-c', script]).trim().split('\n');
}

/** fish tells each word with its help, a tab between them. */
function completedByFish(...words: readonly string[]): readonly string[] {
  const script = `source ${scriptFile('fish')}; complete --do-complete 'gingham ${words.join(' ')}'`;
  const lines = said('fish', ['--no-config', '-c', script]).trim().split('\n');
  return lines.map((line) => line.split('\t')[0] ?? '');
}

/** What `gingham` was called with after each line was typed into an interactive zsh, and Tab pressed. */
function typedIntoZsh(lines: readonly string[]): readonly string[] {
  const script = `zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "unset HISTFILE; autoload -Uz compinit; compinit -D -u; source ${scriptFile('zsh')}"
zpty -w shell 'gingham() { print -r -- "called: $* ." }'
${lines.map((line) => `zpty -w -n shell $'${line}\\t\\n'`).join('\n')}
zpty -w shell 'exit'
while zpty -r shell line; do print -r -- "$line"; done`;
  const terminal = said('zsh', ['-f', '-c', script]);
  return [...terminal.matchAll(/^called: (.*?) +\.\r*$/gm)].map(([, words = '']) => words);
}

function inShell(shell: Shell, what: string, work: () => void): void {
  const here = isInstalled(shell);
  // Left out where the shell is not installed; the title says so.
  it.skipIf(!here)(`${shell} ${what}${here ? '' : ` (left out: ${shell} is not installed)`}`, work);
}

describe('completes commands, flags and arguments', () => {
  inShell('bash', 'offers the words that fit', () => {
    for (const { typed, becomes } of UNIQUE) expect(completedByBash(...typed)).toEqual([becomes]);
    expect(completedByBash('dr')).toEqual(['drops', 'drain']);
    expect(completedByBash('completion', '')).toEqual([...SHELLS, '--run-dir']);
  });

  inShell('fish', 'offers the words that fit', () => {
    for (const { typed, becomes } of UNIQUE) expect(completedByFish(...typed)).toEqual([becomes]);
    expect(completedByFish('dr').toSorted()).toEqual(['drain', 'drops']);
    expect(completedByFish('completion', '')).toEqual(expect.arrayContaining([...SHELLS]));
  });

  inShell('zsh', 'fills in the word that fits', () => {
    const lines = UNIQUE.map(({ typed }) => `gingham ${typed.join(' ')}`);
    const whole = UNIQUE.map(({ typed, becomes }) => [...typed.slice(0, -1), becomes].join(' '));
    expect(typedIntoZsh(lines)).toEqual(whole);
  });
});

it.each(SHELLS)('knows every command in %s', (shell) => {
  const script = completionScript(program, shell);
  for (const command of program.commands) expect(script).toContain(command.name());
});

it('has no quote inside a quoted help text', () => {
  for (const line of completionScript(program, 'fish').split('\n')) {
    expect((line.match(/'/g) ?? []).length % 2).toBe(0);
  }
});
