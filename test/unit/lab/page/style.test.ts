// Contrast of the pages' colours, from the style sheet itself: WCAG 2, 1.4.3 and 1.4.11.
//
// Each of the three palettes (light, dark, paper) on its own.

import { describe, expect, it } from 'vitest';
import { STYLE } from '../../../../lab/page/style.ts';

const TEXT = 4.5;
const GRAPHICS = 3;
const STAGES = ['detect', 'decide', 'feed', 'kernel', 'packet'];
const TEXT_PAIRS: readonly (readonly [string, string])[] = [
  ...['ink', 'soft', 'good', 'bad', 'accent'].flatMap((ink) => [[ink, 'paper'] as const, [ink, 'card'] as const]),
  ...([
    ['bad', 'bad-soft'],
    ['warn', 'warn-soft'],
    ['paper', 'bad'],
    ['ink', 'phase'],
  ] as const),
  ...['machine', 'router', 'etcd'].flatMap((ground) => [['ink', ground] as const, ['soft', ground] as const]),
  ...STAGES.map((stage) => ['on-stage', stage] as const),
];

const PALETTES = [...STYLE.markup.matchAll(/:root \{([^}]+)\}/g)].map(([, body = '']) => colours(body));
/** What a palette does not say, it has of the first. */
const palette = (at: number): ReadonlyMap<string, string> => new Map([...(PALETTES[0] ?? []), ...(PALETTES[at] ?? [])]);

describe.each(['light', 'dark', 'paper'].map((name, at) => ({ name, colour: palette(at) })))(
  'the $name palette',
  ({ colour }) => {
    it.each(TEXT_PAIRS)('has text %s that can be read on %s', (ink, ground) => {
      expect(contrast(colour.get(ink), colour.get(ground))).toBeGreaterThanOrEqual(TEXT);
    });

    it.each(['bad', 'soft', 'accent'])('has lines of %s that can be seen', (line) => {
      expect(contrast(colour.get(line), colour.get('paper'))).toBeGreaterThanOrEqual(GRAPHICS);
    });
  },
);

function colours(body: string): ReadonlyMap<string, string> {
  return new Map([...body.matchAll(/--([a-z-]+): (#[0-9a-f]{6})/g)].map(([, name = '', value = '']) => [name, value]));
}

function contrast(one = '', other = ''): number {
  const [a, b] = [luminance(one), luminance(other)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
