// The repo tests itself: style and structure that no linter knows, as a table of rules in test/tidy/.
//
// Each rule is also shown small repos that break it, so that a rule which has stopped seeing anything fails too.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FILE_RULES } from './tidy/file-rules.ts';
import { IMPORT_RULES } from './tidy/import-rules.ts';
import { REPO_RULES } from './tidy/repo-rules.ts';
import { isGenerated, readRepo } from './tidy/source.ts';

const ROOT = join(import.meta.dirname, '..');
const REPO = readRepo(ROOT);

describe.each([...FILE_RULES, ...IMPORT_RULES, ...REPO_RULES])('$name', ({ check, planted }) => {
  it('holds in the repo', () => {
    expect(check(REPO)).toEqual([]);
  });

  it.each(planted.map((files) => ({ files, path: files.at(-1)?.path })))(
    'is seen broken in a planted $path',
    ({ files }) => {
      expect(check(files)).toHaveLength(1);
    },
  );
});

describe('generated code', () => {
  it('is what buf makes of the .proto files now', () => {
    const folder = mkdtempSync(join(tmpdir(), 'gingham-gen-'));
    try {
      const bin = join(ROOT, 'node_modules/.bin');
      const env = { ...process.env, PATH: `${bin}:${process.env['PATH'] ?? ''}` };
      execFileSync(join(bin, 'buf'), ['generate', '--output', folder], { cwd: ROOT, env, stdio: 'pipe' });
      const made = readRepo(folder);
      expect(made.length).toBeGreaterThan(0);
      expect(REPO.filter(isGenerated)).toEqual(made);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    // A program of 40 MB is started and compiles every schema: on a busy machine that alone may take the usual 20 s.
  }, 120_000);
});
