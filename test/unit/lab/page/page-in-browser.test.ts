// The pages in a real browser: light, dark, on paper and on a narrow screen.
//
// Chromium is 300 MB and not among what `npm test` installs, but among what .ci/run does. Screenshots stay in the folder that
// GINGHAM_SCREENSHOTS names, for people to look at.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareResults } from '../../../../lab/page/comparison.ts';
import { comparisonPage } from '../../../../lab/page/comparison-report.ts';
import { resultPage } from '../../../../lab/page/result-page.ts';
import { Browser, CHROMIUM, type Look } from '../../../chromium.ts';
import { sampleResults } from './sample-results.ts';

const HOSTILE = '"><img src=http://127.0.0.1:9/x onerror=console.error(1)><script>console.error(2)</script>';
const BEFORE = sampleResults({ runs: 20, nodes: 20, neverConverged: [7] }, { name: 'quiet', withoutLoss: true });
const AFTER = sampleResults({ runs: 20, nodes: 20, detectMs: 280 }, { name: 'quiet', withoutLoss: true });
const PAGES: Readonly<Record<string, string>> = {
  one: resultPage(sampleResults({ hostile: HOSTILE })),
  many: resultPage(BEFORE),
  comparison: comparisonPage(compareResults(BEFORE, AFTER), [BEFORE, AFTER], ['before.json', 'after.json']),
};
const WIDE = { width: 1_200, height: 900, media: 'screen' } as const;
const LOOKS: Readonly<Record<string, Look>> = {
  light: { ...WIDE, scheme: 'light' },
  dark: { ...WIDE, scheme: 'dark' },
  narrow: { ...WIDE, width: 420, scheme: 'light' },
  // A4 less the margins, at 96 dots an inch.
  paper: { width: 703, height: 1_017, scheme: 'dark', media: 'print' },
};
/** Names what is not laid out within the page's width, but for what scrolls in a box of its own; and what has no size. */
const MISPLACED = `[...document.querySelectorAll('h1, h2, .facts > div, figure, svg[role=img], table')].flatMap((element) => {
  const { left, right, width, height } = element.getBoundingClientRect();
  const scrolls = element.closest('.wide') !== null && matchMedia('screen').matches;
  const closed = element.closest('details:not([open])') !== null;
  if (closed && matchMedia('screen').matches || element.closest('details:not(.drawn)') !== null) return [];
  const name = element.tagName + '.' + element.getAttribute('class') + ' ' + [left, right, width, height].join(' ');
  if (width < 20 || height < 10) return [name + ' has no size'];
  return !scrolls && (left < 0 || right > innerWidth + 1) ? [name + ' sticks out'] : [];
})`;
const COLOURS = `(() => {
  const { color, backgroundColor } = getComputedStyle(document.body);
  return [color, backgroundColor];
})()`;

const WITHOUT = CHROMIUM === undefined ? ' (not installed: "node setup.mjs browser")' : '';

// Left out where chromium is not installed; the title says so.
describe.skipIf(CHROMIUM === undefined)(`pages in chromium${WITHOUT}`, () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await Browser.start(CHROMIUM ?? '');
  }, 60_000);

  afterAll(async () => {
    await browser?.stop();
  }, 60_000);

  it.each(Object.keys(PAGES))(
    '%s: everything has its place in every look, without a complaint or a request',
    async (name) => {
      const seen: Record<string, unknown> = {};
      await browser.open(PAGES[name] ?? '', LOOKS['light'] as Look);
      for (const [look, settings] of Object.entries(LOOKS)) {
        await browser.look(settings);
        seen[look] = await browser.evaluate(COLOURS);
        expect(await browser.evaluate(MISPLACED), look).toEqual([]);
        const widths = '[document.documentElement.scrollWidth, document.documentElement.clientWidth]';
        const [content, room] = await browser.evaluate<[number, number]>(widths);
        expect(content, look).toBeLessThanOrEqual(room);
        await keep(`${name}-${look}.png`, await browser.screenshot(true));
      }
      expect(seen).toMatchObject({
        light: ['rgb(27, 31, 36)', 'rgb(255, 255, 255)'],
        dark: ['rgb(230, 234, 239)', 'rgb(18, 22, 27)'],
        paper: ['rgb(0, 0, 0)', 'rgb(255, 255, 255)'],
      });
      const pdf = await browser.pdf();
      expect(pdf.subarray(0, 5).toString()).toBe('%PDF-');
      await keep(`${name}.pdf`, pdf);
      expect(browser.complaints).toEqual([]);
      expect(browser.requests.filter((url) => !url.endsWith('/page.html'))).toEqual([]);
    },
    120_000,
  );

  it('hears a page that complains and sees what sticks out', async () => {
    const bad = '<!DOCTYPE html><h1 style="width:3000px">x</h1><script>console.error("heard")</script>';
    await browser.open(bad, LOOKS['light'] as Look);
    expect(await browser.evaluate(MISPLACED)).toHaveLength(1);
    expect(browser.complaints.join()).toContain('heard');
  }, 60_000);
});

async function keep(name: string, content: Buffer): Promise<void> {
  const folder = process.env['GINGHAM_SCREENSHOTS'];
  expect(content.length).toBeGreaterThan(1_000);
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, name), content);
}
