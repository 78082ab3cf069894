// Pictures of topologies: every machine has a place of its own, whatever the shape.
//
// How lines look between them is for eyes.

import { describe, expect, it } from 'vitest';
import { type Box, layoutTopology } from '../../../../lab/page/topology-layout.ts';
import { linkedTopology, starTopology } from './sample-results.ts';

type Pairs = readonly (readonly [string, string])[];

const routers = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => `r${at + 1}`);
const ring = (count: number): Pairs =>
  routers(count).flatMap((name, at) => [
    [name, `r${((at + 1) % count) + 1}`] as const,
    [`node${at + 1}`, name] as const,
  ]);
const leafSpine: Pairs = ['leaf1', 'leaf2', 'leaf3', 'leaf4'].flatMap((leaf, at) => [
  [leaf, 'spine1'] as const,
  [leaf, 'spine2'] as const,
  [`node${at + 1}`, leaf] as const,
  [`node${(at ^ 1) + 1}`, leaf] as const,
]);
const twoRacks: Pairs = [
  ...([
    ['tor1', 'tor2'],
    ['tor1', 'tor2'],
    ['node1', 'tor1'],
    ['node2', 'tor1'],
  ] as const),
  ...([
    ['node3', 'tor2'],
    ['node4', 'tor2'],
    ['etcd', 'tor1'],
  ] as const),
];

const SHAPES = [
  ...[1, 2, 3, 6, 7, 11, 12, 13, 20, 50].map((nodes) => starTopology(nodes)),
  ...[3, 5, 8].map((count) => linkedTopology(`ring-${count}`, [...ring(count), ['etcd', 'r1']])),
  linkedTopology('leaf-spine', [...leafSpine, ['etcd', 'spine1']]),
  linkedTopology('two-racks', twoRacks),
  linkedTopology('line', [
    ['r1', 'r2'],
    ['r2', 'r3'],
    ['r3', 'r4'],
    ['r1', 'r4x'],
    ['node1', 'r1'],
    ['node2', 'r4'],
  ]),
];

describe.each(SHAPES)('$name', (topology) => {
  const { boxes, lines, width, height } = layoutTopology(topology);
  const all = topology.machines.map(({ name }) => boxes.get(name));

  it('has a box for every machine within the picture, none over another', () => {
    expect(all).not.toContain(undefined);
    const found = all.filter((box) => box !== undefined);
    expect(found.filter((box) => !isWithin(box, width, height))).toEqual([]);
    const pairs = found.flatMap((box, at) => found.slice(at + 1).map((other) => [box, other] as const));
    expect(pairs.filter(([box, other]) => overlap(box, other))).toEqual([]);
  });

  it('has a line for every link, no two the same', () => {
    expect(lines).toHaveLength(topology.links.length);
    expect(lines).not.toContain(undefined);
    expect(new Set(lines.map((line) => line?.path)).size).toBe(lines.length);
  });
});

describe('layoutTopology', () => {
  it('leads links of far rows past the boxes of near ones', () => {
    const { boxes, lines } = layoutTopology(starTopology(20));
    const upright = lines.flatMap((line) => /^M([\d.]+) ([\d.]+)V([\d.]+)$/.exec(line?.path ?? '') ?? []);
    expect(upright).toHaveLength(21 * 4);
    const machines = [...boxes].filter(([name]) => name !== 'router').map(([, box]) => box);
    const crossed = lines.flatMap((line) => {
      const [, x, from, to] = (/^M([\d.]+) ([\d.]+)V([\d.]+)$/.exec(line?.path ?? '') ?? []).map(Number);
      if (x === undefined || from === undefined || to === undefined) return [];
      const [top, bottom] = [Math.min(from, to), Math.max(from, to)];
      return machines.filter(
        (box) =>
          Math.abs(box.x - x) < box.width / 2 &&
          box.y + box.height / 2 > top + 1 &&
          box.y - box.height / 2 < bottom - 1,
      );
    });
    expect(crossed).toEqual([]);
  });

  it('leaves out the line of a link whose end is not there', () => {
    const topology = starTopology(2);
    const links = [...topology.links, { name: 'gone', ends: ['node1', 'nowhere'] as [string, string] }];
    expect(layoutTopology({ ...topology, links }).lines.at(-1)).toBeUndefined();
  });
});

function isWithin({ x, y, width, height }: Box, right: number, bottom: number): boolean {
  return x - width / 2 >= 0 && x + width / 2 <= right && y - height / 2 >= 0 && y + height / 2 <= bottom;
}

function overlap(one: Box, other: Box): boolean {
  const isBeside = Math.abs(one.x - other.x) >= (one.width + other.width) / 2;
  return !isBeside && Math.abs(one.y - other.y) < (one.height + other.height) / 2;
}
