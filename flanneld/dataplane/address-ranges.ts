// Sets of 32-bit numbers as few ranges: for a filter that may let too much through, but never too little.
// Pure values; which numbers they are (addresses of one family, ends of addresses) is the caller's business.

/** Both ends are in it; unsigned. */
export interface AddressRange {
  readonly first: number;
  readonly last: number;
}

/** At most `limit` ranges around all of `ranges`, in order: where there would be more, the narrowest gaps are closed. */
export function coverRanges(ranges: readonly AddressRange[], limit: number): readonly AddressRange[] {
  const merged: { first: number; last: number }[] = [];
  for (const { first, last } of ranges.toSorted((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else merged.push({ first, last });
  }
  if (merged.length <= limit) return merged;
  const gapBefore = (i: number): number => (merged[i] as AddressRange).first - (merged[i - 1] as AddressRange).last;
  const indices = Array.from({ length: merged.length - 1 }, (_, i) => i + 1);
  const starts = indices
    .toSorted((a, b) => gapBefore(b) - gapBefore(a))
    .slice(0, limit - 1)
    .toSorted((a, b) => a - b);
  return [0, ...starts].map((start, i) => ({
    first: (merged[start] as AddressRange).first,
    last: (merged[(starts[i] ?? merged.length) - 1] as AddressRange).last,
  }));
}
