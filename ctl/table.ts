// Plain-text tables for terminals: left-aligned columns, numbers to the right, two blanks between.
//
// No frames, and colours on a terminal only, so that a table can be cut and searched with the usual tools.

import { type Tone, toned } from './tone.ts';

/** The widest table that is still readable everywhere. */
export const TABLE_WIDTH = 100;

const GAP = '  ';
/** The last column keeps this much, however wide the others are. */
const LAST_WIDTH_MIN = 20;

const NUMBER = /^[\d?]+(\/\d+)?$/;

/**
 * Lines of a table without trailing blanks, at most `TABLE_WIDTH` wide: what is too much is cut from the last column.
 * Cells of a column in which every value is a number are right-aligned. `toneOf` colours cells by what they say.
 */
export function renderTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  toneOf: (cell: string, column: number) => Tone | undefined = () => undefined,
): readonly string[] {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const toTheRight = header.map((_, column) => rows.length > 0 && rows.every((row) => NUMBER.test(row[column] ?? '')));
  const last = header.length - 1;
  const widthBefore = widths.slice(0, last).reduce((sum, width) => sum + width + GAP.length, 0);
  const padded = (cell: string, column: number): string => {
    const width = widths[column] ?? 0;
    if (toTheRight[column]) return cell.padStart(width);
    return column === last ? clip(cell, Math.max(LAST_WIDTH_MIN, TABLE_WIDTH - widthBefore)) : cell.padEnd(width);
  };
  return [header, ...rows].map((row, index) =>
    row
      .map((cell, column) => toned(padded(cell, column), index === 0 ? undefined : toneOf(cell, column)))
      .join(GAP)
      .trimEnd(),
  );
}

/** Cuts a text to `width`, with a mark where something is missing. */
export function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 3))}...`;
}
