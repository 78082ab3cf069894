// The completion scripts: that each shell takes its own, and that bash completes commands, flags and arguments with it.
//
// zsh and fish are checked by form where they are not installed.

import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { commandTree } from '../../../ctl/commands.ts';
import { completionScript, SHELLS } from '../../../ctl/completion.ts';

const program = commandTree({ runFolder: '/run/gingham', exitCode: 0 });

function completedByBash(...words: readonly string[]): readonly string[] {
  const script = `${completionScript(program, 'bash')}
COMP_WORDS=(gingham ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _gingham
printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split('\n');
}

it('completes commands, flags and arguments in bash', () => {
  expect(completedByBash('pe')).toEqual(['peers']);
  expect(completedByBash('dr')).toEqual(['drops', 'drain']);
  expect(completedByBash('doctor', '--e')).toEqual(['--etcd-endpoints']);
  expect(completedByBash('health', 'b')).toEqual(['bgpd']);
  expect(completedByBash('completion', '')).toEqual(expect.arrayContaining(['bash', 'zsh', 'fish']));
});

it.each(SHELLS)('knows every command in %s', (shell) => {
  const script = completionScript(program, shell);
  for (const command of program.commands) expect(script).toContain(command.name());
  expect(script).toContain('etcd-endpoints');
});

it('has no quote inside a quoted help text', () => {
  for (const line of completionScript(program, 'fish').split('\n')) {
    expect((line.match(/'/g) ?? []).length % 2).toBe(0);
  }
});
