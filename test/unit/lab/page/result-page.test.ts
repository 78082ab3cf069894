// The page of a result: complete for every kind of run, well formed, self-contained, and safe whatever names say.
//
// How it looks is shown in a browser: page-in-browser.test.ts.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { resultPage } from '../../../../lab/page/result-page.ts';
import { resultsSchema } from '../../../../lab/results/results-schema.ts';
import { linkedTopology, type Sample, sampleResults } from './sample-results.ts';

const EXAMPLE = new URL('../../../../lab/results/example.json', import.meta.url);
const HOSTILE = `"'><script>alert(1)</script><img src=x onerror=alert(2)>&\u0000\u202e</title></style></svg>`;
/** Slash, name, the rest. */
const TAG = /<(\/?)([a-zA-Z][\w-]*)((?:[^<>"]|"[^"]*")*)>/g;
const VOID_ELEMENTS = ['meta', 'br'];

const RING = linkedTopology('ring', [
  ...([
    ['r1', 'r2'],
    ['r2', 'r3'],
    ['r3', 'r1'],
  ] as const),
  ...([
    ['node1', 'r1'],
    ['node2', 'r2'],
    ['node3', 'r3'],
    ['etcd', 'r1'],
  ] as const),
]);

const SAMPLES: Readonly<Record<string, readonly Sample[]>> = {
  'one run': [{}],
  'one node': [{ nodes: 1 }],
  'twenty runs on twenty nodes': [{ nodes: 20, runs: 20 }],
  'no loss': [{ withoutLoss: true, runs: 3 }],
  'a run that never converged': [{ runs: 3, neverConverged: [2] }],
  'no run that converged': [{ runs: 2, neverConverged: [1, 2] }],
  'a run that could not be made': [{ runs: 3, notMade: [1] }],
  'no run that could be made': [{ runs: 2, notMade: [1, 2] }],
  'several scenarios': [{ runs: 2 }, { name: 'ring', topology: RING }],
  'hostile names': [{ runs: 2, neverConverged: [2], hostile: HOSTILE }],
};

const PAGES = [
  ...Object.entries(SAMPLES).map(([name, samples]) => [name, resultPage(sampleResults(...samples))] as const),
  ['the documented example', resultPage(resultsSchema.parse(JSON.parse(readFileSync(EXAMPLE, 'utf8'))))] as const,
];

describe.each(PAGES)('a page of %s', (_name, page) => {
  it('is well formed, with names that are unique and labels that exist', () => {
    expect(wrongNesting(page)).toBe('');
    const ids = [...page.matchAll(/ id="([^"]+)"/g)].map(([, id]) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const labels = [...page.matchAll(/ aria-labelledby="([^"]+)"/g)].flatMap(([, names = '']) => names.split(' '));
    expect(labels.length).toBeGreaterThan(0);
    expect(labels.filter((label) => !ids.includes(label))).toEqual([]);
  });

  it('needs nothing from elsewhere and runs nothing', () => {
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'`);
    expect(page).not.toMatch(/<(script|link|img|iframe|object|embed|base|form|foreignObject)\b/i);
    const attributes = [...page.matchAll(TAG)].flatMap(([, , , rest = '']) =>
      rest.replaceAll(/"[^"]*"/g, '').split(/\s+/),
    );
    expect(attributes.filter((name) => /^(src|on\w+|formaction|xlink.*)=/i.test(name))).toEqual([]);
    expect(page).not.toMatch(/url\((?!#)|@import|href="(?!#)/);
  });

  it('has no number that is none', () => {
    expect(page).not.toMatch(/NaN|Infinity|undefined|\[object/);
  });
});

describe('what a page says', () => {
  it('shows every expectation with what was measured, and each run with its quality', () => {
    const page = textOf(resultPage(sampleResults({ runs: 3, neverConverged: [2] })));
    expect(page).toContain('✗ failed converged <= 400 ms 2 of 3 not before it was mended');
    expect(page).toContain('✓ passed no flap 3 of 3 none');
    expect(page).toContain('2 ✗ no no 2100 ms bfd-down 1.0 ms 0 ms 0.5 %, 2.5 ms 8.0 % 2');
  });

  it('marks what is broken in words', () => {
    const page = textOf(resultPage(sampleResults({})));
    expect(page).toContain('Broken on purpose (marked ✕): node2; link node1; process node1/bgpd.');
    expect(page).toMatch(/node node2, 192\.168\.64\.12, vxlan, offers web, broken .*✕ broken/);
    expect(page).toMatch(/✕ bgpd/);
  });

  it('gives percentiles, and says that one run has no distribution', () => {
    const many = textOf(resultPage(sampleResults({ runs: 20 })));
    expect(many).toContain('converged 277 ms 357 ms 377 ms 377 ms');
    expect(many).toContain('Time to converge, 20 runs');
    const one = textOf(resultPage(sampleResults({})));
    expect(one).toContain('One run has no distribution');
    expect(one).not.toContain('Time to converge, 1 run');
  });

  it('says how many runs did not converge, and draws the slowest, the median and those that failed', () => {
    const page = textOf(resultPage(sampleResults({ runs: 9, neverConverged: [4, 6] })));
    expect(page).toContain('2 of 9 did not');
    const drawn = [...page.matchAll(/Run (\d), ([a-z ]+), over time/g)].map(([, run, why]) => `${run} ${why}`);
    expect(drawn).toEqual(['6 the slowest', '7 the median', '4 not as expected']);
  });

  it('says that nothing was lost, or nothing measured', () => {
    expect(textOf(resultPage(sampleResults({ withoutLoss: true })))).toContain('Longest loss none');
    const page = textOf(resultPage(sampleResults({ notMade: [1] })));
    expect(page).toContain('Run 1: the cluster does not come up');
    expect(page).toContain('nothing was measured');
  });

  it('shows hostile names as text', () => {
    const page = resultPage(sampleResults(...(SAMPLES['hostile names'] ?? [])));
    expect(page).toContain('kill-node&quot;&#39;&gt;&lt;script&gt;alert(1)');
    expect(['\u0000', '\u202e'].filter((character) => page.includes(character))).toEqual([]);
  });

  it('finds a tag that is not closed', () => {
    expect(wrongNesting('<p><b>x</p>')).toBe('p closes b');
    expect(wrongNesting('<p><br>')).toBe('p is not closed');
  });
});

/** What is wrong about the tags, or nothing. */
function wrongNesting(page: string): string {
  const open: string[] = [];
  for (const [, slash, name = '', rest = ''] of page.matchAll(TAG)) {
    if (slash === '/') {
      const last = open.pop();
      if (last !== name) return `${name} closes ${last}`;
    } else if (!rest.endsWith('/') && !VOID_ELEMENTS.includes(name)) open.push(name);
  }
  return open.length === 0 ? '' : `${open.at(-1)} is not closed`;
}

function textOf(page: string): string {
  const body = page.slice(page.indexOf('<body>')).replaceAll(/<[^>]+>/g, ' ');
  return body.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll(/\s+/g, ' ');
}
