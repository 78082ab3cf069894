// Plain-text tables for terminals: left-aligned columns, numbers to the right, two blanks between.
//
// No frames and no colours, so that a table can be cut and searched with the usual tools.

/** The widest table that is still readable everywhere. */
export const TABLE_WIDTH = 100;

const NUMBER = /^[\d?]+(\/\d+)?$/;

/** Lines of a table without trailing blanks; cells of a column in which every value is a number are right-aligned. */
export function renderTable(header: readonly string[], rows: readonly (readonly string[])[]): readonly string[] {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)),
  );
  const toTheRight = header.map((_, column) => rows.length > 0 && rows.every((row) => NUMBER.test(row[column] ?? '')));
  return [header, ...rows].map((row) =>
    row
      .map((cell, column) =>
        toTheRight[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  );
}

/** Cuts a text to `width`, with a mark where something is missing. */
export function clip(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 3))}...`;
}
