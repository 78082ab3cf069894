// Bugs that the simulator must find: each spoils one method of a bgpd before it starts. By name, so that the command that
// replays a run can plant the same one. They are here to test the tests; nothing of bgpd knows of them.

import type { Node } from '../../bgpd/node.ts';

export interface PlantedBug {
  readonly name: string;
  /** What would be seen in the field. */
  readonly summary: string;
  readonly plant: (node: Node) => void;
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  {
    name: 'dead-peer-keeps-routes',
    summary: 'the routes of a peer stay when its session ends',
    plant: ({ rib }) => void Object.assign(rib, { peerDown: () => [] }),
  },
  {
    name: 'stale-routes-stay',
    summary: 'what a restarted peer did not send again is kept for ever',
    plant: ({ rib }) => void Object.assign(rib, { dropStale: () => [] }),
  },
  {
    name: 'lost-way-is-used',
    summary: 'routes stay on a next hop that flanneld cannot reach any more',
    plant: ({ rib }) => void Object.assign(rib, { removeNextHop: () => [] }),
  },
  {
    name: 'third-withdrawal-is-lost',
    summary: 'of the updates that withdraw something every third is not applied',
    plant: ({ rib }) => {
      const receive = rib.receive.bind(rib);
      let withdrawals = 0;
      const spoilt: typeof receive = (name, update, cause) =>
        update.withdrawn.length > 0 && ++withdrawals % 3 === 0
          ? { events: [], refused: undefined }
          : receive(name, update, cause);
      Object.assign(rib, { receive: spoilt });
    },
  },
];

/** What to do to each bgpd of a run; nothing where no bug is asked for, `undefined` where the name is not known. */
export function planterOf(name: string | undefined): ((node: Node) => void) | undefined {
  if (name === undefined) return () => undefined;
  return PLANTED_BUGS.find((bug) => bug.name === name)?.plant;
}
