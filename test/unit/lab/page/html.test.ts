// Templates escape what is put into them, wherever it stands.
//
// The pages' own escape test is in result-page.test.ts.

import { describe, expect, it } from 'vitest';
import { html } from '../../../../lab/page/html.ts';

describe('html', () => {
  it.each([
    ['<script>', '&lt;script&gt;'],
    [`" onload='x'`, '&quot; onload=&#39;x&#39;'],
    ['&amp;', '&amp;amp;'],
    ['a\u0000b\u001b[1m\u007f\u0085', 'a\uFFFDb\uFFFD[1m\uFFFD\uFFFD'],
    ['node\u202e2\u2066', 'node\uFFFD2\uFFFD'],
    ['line\nand\ttab', 'line\nand\ttab'],
    ['größer → 日本', 'größer → 日本'],
  ])('shows %j as it is', (text, markup) => {
    expect(html`<b title="${text}">${text}</b>`.markup).toBe(`<b title="${markup}">${markup}</b>`);
  });

  it('takes its own markup and lists of it as they are', () => {
    const items = ['<a>', 'b'].map((text) => html`<li>${text}</li>`);
    expect(html`<ul>${items}</ul>`.markup).toBe('<ul><li>&lt;a&gt;</li><li>b</li></ul>');
  });

  it('escapes what only looks like its own markup', () => {
    const forged = { markup: '<script>' } as unknown as string;
    expect(() => html`${forged}`.markup).toThrow();
  });

  it('rounds numbers', () => {
    expect(html`${1 / 3} ${-0.04} ${12}`.markup).toBe('0.3 0 12');
  });
});
