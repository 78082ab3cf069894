// The recording on the README's first screen is what its commands print: test/readme.mjs types them.
// Where the page is no longer true: `node test/readme.mjs --record`.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

it('prints what the README shows', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, '../readme.mjs')]);
  expect(stdout).toMatch(/^[1-9]\d* commands print what README\.md shows$/m);
});
