// The pages tell of things that exist: links lead to files, commands and flags are those of the programs.
//
// Only what can be read off the text is checked here; labs are run by the compose test.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SETTINGS as BGPD } from '../../bgpd/config.ts';
import { commandTree } from '../../ctl/commands.ts';
import { SETTINGS as FELIX } from '../../felix/config.ts';
import { SETTINGS as FLANNELD } from '../../flanneld/config.ts';

const ROOT = join(import.meta.dirname, '../..');
const PAGES = [
  ...['README.md', 'ARCHITECTURE.md'].map((name) => join(ROOT, name)),
  ...pagesIn(join(ROOT, 'docs')),
  ...pagesIn(join(ROOT, 'labs')),
].map((path) => ({ page: relative(ROOT, path), folder: dirname(path), text: readFileSync(path, 'utf8') }));

const COMMANDS = new Map(
  commandTree({ runFolder: '/run/gingham', exitCode: 0 }).commands.map((command) => [command.name(), command]),
);
const DAEMON_FLAGS = { flanneld: FLANNELD, bgpd: BGPD, felix: FELIX };

function pagesIn(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name));
}

/** What is typed: code spans and code blocks. */
function codeOf(text: string): readonly string[] {
  return [...text.matchAll(/```[^\n]*\n([\s\S]*?)```|`([^`\n]+)`/g)].map(([, block, span]) => block ?? span ?? '');
}

describe.each(PAGES)('$page', ({ folder, text }) => {
  it('links to files that are there', () => {
    const links = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, link = '']) => link);
    const missing = links.filter((link) => !/^[a-z]+:/.test(link) && !existsSync(join(folder, link)));
    expect(missing).toEqual([]);
  });

  it('names commands of gingham that exist', () => {
    const named = codeOf(text).flatMap((code) => [...code.matchAll(/(?:^|[\s$])gingham ([a-z][a-z-]*)/gm)]);
    const unknown = named.map(([, name = '']) => name).filter((name) => !COMMANDS.has(name) && name !== 'completion');
    expect(unknown).toEqual([]);
  });

  it('gives the daemons flags that they take', () => {
    const wrong = codeOf(text).flatMap((code) =>
      code.split('\n').flatMap((line) => {
        const daemon = (['flanneld', 'bgpd', 'felix'] as const).find((name) => line.startsWith(`${name} --`));
        if (daemon === undefined) return [];
        const flags = [...line.matchAll(/--([a-z][a-z-]*)/g)].map(([, flag = '']) => flag);
        return flags.filter((flag) => !(flag in DAEMON_FLAGS[daemon])).map((flag) => `${daemon} --${flag}`);
      }),
    );
    expect(wrong).toEqual([]);
  });
});
