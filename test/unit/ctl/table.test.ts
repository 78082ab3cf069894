// Tables: alignment, and that nothing is cut without a mark.
//
// Expected values are whole tables, as a person sees them.

import { expect, it } from 'vitest';
import { clip, renderTable } from '../../../ctl/table.ts';

it('aligns texts to the left and columns of numbers to the right', () => {
  expect(
    renderTable(
      ['NODE', 'ADDRESS', 'PEERS UP', 'NOTE'],
      [
        ['node1', '10.5.1.1', '9/12', 'ok'],
        ['node10', '10.5.10.1', '?/12', ''],
      ],
    ),
  ).toEqual(['NODE    ADDRESS    PEERS UP  NOTE', 'node1   10.5.1.1       9/12  ok', 'node10  10.5.10.1      ?/12']);
});

it('shows a header without rows', () => {
  expect(renderTable(['A', 'B'], [])).toEqual(['A  B']);
});

it('marks what it cuts', () => {
  expect(clip('abcdefgh', 8)).toBe('abcdefgh');
  expect(clip('abcdefghi', 8)).toBe('abcde...');
});
