// Where the machines and links of a topology stand in its picture. Pure; nothing is drawn here.
//
//    one router: a bar,           routers in a ring:         else: rows by the distance from the nodes
//    machines on both sides       machines outside                [spine] [spine]
//      [n1] [n2] [n3]                   [n1]                      /  \ /  \ /  \
//    ===[   router   ]===              (r1)                    [leaf] [leaf] [leaf]
//          [etcd]               [n3](r3)  (r2)[n2]             [n1]  [n2]  [n3]  [n4]
//
// All is in pixels of the picture's own coordinates; it is scaled to the page as a whole.

import type { TopologyPicture } from '../results/results-schema.ts';

export interface Box {
  /** Of the centre. */
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface LinkLine {
  /** What an SVG path's `d` takes. */
  readonly path: string;
  /** Where a mark of the link goes. */
  readonly x: number;
  readonly y: number;
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly boxes: ReadonlyMap<string, Box>;
  /** In the order of the topology's links; a link whose end is no machine has none. */
  readonly lines: readonly (LinkLine | undefined)[];
}

type Machine = TopologyPicture['machines'][number];

const MACHINE = { width: 108, height: 58 };
const ROUTER = { width: 78, height: 30 };
const PITCH = 136;
const ROW = 118;
const MARGIN = 22;
/** Between links of the same two machines, where they are furthest apart. */
const TWIN_GAP = 34;
/** A ring is an ellipse, for boxes are wider than high. */
const RING_WIDENED = 1.35;
/** Of a link around what stands between its ends. */
const BEND = 74;
const BUS_HEIGHT = 30;
const BUS_ONE_SIDE_MAX = 6;
const BUS_TWO_SIDES_MAX = 12;

/** Lays out any topology; machines that no link reaches stand with the nodes. */
export function layoutTopology(topology: TopologyPicture): Layout {
  const routers = topology.machines.filter(({ kind }) => kind === 'router');
  const ring = ringOf(topology, routers);
  const [only] = routers;
  const placed =
    routers.length === 1 && only !== undefined
      ? placeBus(topology, only)
      : ring === undefined
        ? placeRows(topology, routers)
        : placeRing(topology, ring);
  const { boxes, ...size } = framed(placed);
  const lines = topology.links.map((link) => {
    const [one, other] = [boxes.get(link.ends[0]), boxes.get(link.ends[1])];
    const twins = topology.links.filter(({ ends }) => ends.every((end) => link.ends.includes(end)));
    const aside = (twins.indexOf(link) - (twins.length - 1) / 2) * TWIN_GAP;
    return one === undefined || other === undefined ? undefined : lineBetween(one, other, aside, [...boxes.values()]);
  });
  return { ...size, boxes, lines };
}

/** Moved to the upper left corner, with a margin around. */
function framed(boxes: ReadonlyMap<string, Box>): Pick<Layout, 'width' | 'height' | 'boxes'> {
  const all = [...boxes.values()];
  const least = (of: (box: Box) => number): number => Math.min(...all.map(of));
  const left = least(({ x, width }) => x - width / 2) - MARGIN;
  const top = least(({ y, height }) => y - height / 2) - MARGIN;
  const right = -least(({ x, width }) => -x - width / 2) + MARGIN;
  const bottom = -least(({ y, height }) => -y - height / 2) + MARGIN;
  const moved = [...boxes].map(([name, box]) => [name, { ...box, x: box.x - left, y: box.y - top }] as const);
  return { width: right - left, height: bottom - top, boxes: new Map(moved) };
}

function placeBus({ machines }: TopologyPicture, router: Machine): ReadonlyMap<string, Box> {
  const nodes = machines.filter(({ kind }) => kind === 'node');
  const etcd = machines.filter(({ kind }) => kind === 'etcd');
  const all = [...nodes, ...etcd];
  // Rows from the far one above to the far one below. Far rows stand half a step aside, so that their links find a gap.
  const rows: readonly (readonly Machine[])[] =
    nodes.length <= BUS_ONE_SIDE_MAX
      ? [[], nodes, etcd, []]
      : all.length <= BUS_TWO_SIDES_MAX
        ? [[], ...inParts(all, 2), []]
        : inParts(all, 4);
  const [farAbove = [], above = [], below = [], farBelow = []] = rows;
  const aside = farAbove.length + farBelow.length > 0 ? PITCH / 2 : 0;
  const columns = Math.max(...rows.map((row) => row.length), 2);
  const width = 2 * MARGIN + aside + columns * PITCH;
  const boxes = new Map<string, Box>();
  let y = MARGIN + MACHINE.height / 2;
  const put = (row: readonly Machine[], isFar: boolean): void => {
    // By whole steps, or the links of a far row would run behind the boxes of a near one.
    const free = aside === 0 ? columns - row.length : 2 * Math.floor((columns - row.length) / 2);
    const left = MARGIN + (free * PITCH) / 2 + (isFar ? aside : 0);
    for (const [at, { name }] of row.entries()) boxes.set(name, { x: left + (at + 0.5) * PITCH, y, ...MACHINE });
    if (row.length > 0) y += ROW;
  };
  put(farAbove, true);
  put(above, false);
  boxes.set(router.name, { x: width / 2, y: y - 14, width: width - 2 * MARGIN, height: BUS_HEIGHT });
  y += ROW - 28;
  put(below, false);
  put(farBelow, true);
  return boxes;
}

function placeRing(topology: TopologyPicture, ring: readonly string[]): ReadonlyMap<string, Box> {
  const inner = Math.max(92, ring.length * 21);
  const outer = inner + 108;
  const boxes = new Map<string, Box>();
  const put = (name: string, turn: number, radius: number, size: typeof ROUTER): void => {
    const angle = (turn - 0.25) * 2 * Math.PI;
    const [x, y] = [RING_WIDENED * radius * Math.cos(angle), radius * Math.sin(angle)];
    boxes.set(name, { x, y, ...size });
  };
  const others = topology.machines.filter(({ kind }) => kind !== 'router');
  for (const [at, router] of ring.entries()) {
    const turn = at / ring.length;
    put(router, turn, inner, ROUTER);
    const hanging = others.filter(({ name }) => neighboursOf(topology, name).includes(router));
    for (const [of, { name }] of hanging.entries()) {
      const aside = (of - (hanging.length - 1) / 2) * (0.8 / ring.length / Math.max(1, hanging.length - 1));
      put(name, turn + (hanging.length > 1 ? aside : 0), outer, MACHINE);
    }
  }
  return boxes;
}

function placeRows(topology: TopologyPicture, routers: readonly Machine[]): ReadonlyMap<string, Box> {
  const distance = distancesFromNodes(topology);
  const far = Math.max(1, ...routers.map(({ name }) => distance.get(name) ?? 1));
  const routerRows = Array.from({ length: far }, (_, at) =>
    routers.filter(({ name }) => (distance.get(name) ?? far) === far - at),
  );
  const etcd = topology.machines.filter(({ kind }) => kind === 'etcd');
  const top = routerRows[0] ?? [];
  const isAbove = ({ name }: Machine): boolean =>
    far > 1 && neighboursOf(topology, name).some((other) => top.some((router) => router.name === other));
  const order = new Map(routers.map(({ name }, at) => [name, at]));
  const middle = ({ name }: Machine): number => {
    const places = neighboursOf(topology, name).flatMap((other) => order.get(other) ?? []);
    return places.reduce((sum, place) => sum + place, 0) / Math.max(1, places.length);
  };
  const nodes = topology.machines.filter(({ kind }) => kind === 'node');
  const bottom = [...nodes, ...etcd.filter((machine) => !isAbove(machine))].toSorted((a, b) => middle(a) - middle(b));
  const rows = [etcd.filter(isAbove), ...routerRows, bottom].filter((row) => row.length > 0);
  const width = 2 * MARGIN + Math.max(...rows.map((row) => row.length), 3) * PITCH;
  const boxes = new Map<string, Box>();
  for (const [down, row] of rows.entries()) {
    const y = MARGIN + MACHINE.height / 2 + down * ROW;
    for (const [at, { name, kind }] of row.entries()) {
      const x = MARGIN + ((at + 0.5) / row.length) * (width - 2 * MARGIN);
      boxes.set(name, { x, y, ...(kind === 'router' ? ROUTER : MACHINE) });
    }
  }
  return boxes;
}

/** The routers in their order around, where they are one ring. */
function ringOf(topology: TopologyPicture, routers: readonly Machine[]): readonly string[] | undefined {
  const names = routers.map(({ name }) => name);
  const beside = (name: string): readonly string[] =>
    neighboursOf(topology, name).filter((each) => names.includes(each));
  const [first] = names;
  if (names.length < 3 || first === undefined || names.some((name) => beside(name).length !== 2)) return undefined;
  const around = [first];
  for (let next = beside(first)[0]; next !== undefined; next = beside(next).find((name) => !around.includes(name))) {
    around.push(next);
  }
  return around.length === names.length ? around : undefined;
}

function distancesFromNodes(topology: TopologyPicture): ReadonlyMap<string, number> {
  const distance = new Map(topology.machines.flatMap(({ name, kind }) => (kind === 'node' ? [[name, 0]] : [])));
  // A map is walked in the order of insertion, what is added meanwhile included: breadth first.
  for (const [name, steps] of distance) {
    for (const other of neighboursOf(topology, name)) if (!distance.has(other)) distance.set(other, steps + 1);
  }
  return distance;
}

function neighboursOf({ links }: TopologyPicture, name: string): readonly string[] {
  const others = links.flatMap(({ ends: [one, other] }) => (one === name ? [other] : other === name ? [one] : []));
  return [...new Set(others)];
}

function lineBetween(one: Box, other: Box, aside: number, all: readonly Box[]): LinkLine {
  const bus = [one, other].find(({ width }) => width > MACHINE.width);
  if (bus !== undefined) return lineToBus(bus === one ? other : one, bus);
  const isBetween = ({ x, y }: Box): boolean =>
    y === one.y && x > Math.min(one.x, other.x) && x < Math.max(one.x, other.x);
  const bend = one.y === other.y && all.some(isBetween) ? aside - BEND : aside;
  if (bend === 0) {
    // Off the middle, where the links of a full mesh cross.
    const at = (from: number, to: number): number => from + (to - from) * 0.4;
    return { path: `M${one.x} ${one.y}L${other.x} ${other.y}`, x: at(one.x, other.x), y: at(one.y, other.y) };
  }
  const length = Math.hypot(other.x - one.x, other.y - one.y) || 1;
  const [acrossX, acrossY] = [-(other.y - one.y) / length, Math.abs(other.x - one.x) / length];
  const [x, y] = [(one.x + other.x) / 2, (one.y + other.y) / 2];
  const control = `${x + 2 * bend * acrossX} ${y + 2 * bend * acrossY}`;
  const path = `M${one.x} ${one.y}Q${control} ${other.x} ${other.y}`;
  return { path, x: x + bend * acrossX, y: y + bend * acrossY };
}

function lineToBus(end: Box, bus: Box): LinkLine {
  const isAbove = end.y < bus.y;
  const near = end.y + (isAbove ? 1 : -1) * (end.height / 2);
  const edge = bus.y - (isAbove ? 1 : -1) * (bus.height / 2);
  return { path: `M${end.x} ${near}V${edge}`, x: end.x, y: isAbove ? edge - 13 : edge + 13 };
}

function inParts<T>(list: readonly T[], parts: number): readonly (readonly T[])[] {
  const size = Math.ceil(list.length / parts);
  return Array.from({ length: parts }, (_, at) => list.slice(at * size, (at + 1) * size));
}
