// The file that is laid over docker-compose.yml: timers and services of a topology as variables and files of the daemons.
//
// That compose takes it is shown by the compose test.

import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { parse } from 'yaml';
import { composeOverride, composeVariables, SWITCH } from '../../../../lab/compose/compose-override.ts';
import { buildTopology } from '../../../../lab/topology.ts';
import { optionsOf, readTopology, topologySource } from '../../../../lab/topology-spec.ts';

const SOURCE = topologySource('flat-3');
const TOPOLOGY = buildTopology('t', optionsOf(readTopology(SOURCE)), SOURCE);
const OVERRIDE = JSON.parse(composeOverride(TOPOLOGY)) as { readonly services: Readonly<Record<string, unknown>> };

it('names services of docker-compose.yml and one of its own', () => {
  const file = parse(readFileSync(new URL('../../../../docker-compose.yml', import.meta.url), 'utf8')) as {
    readonly services: object;
  };
  const own = Object.keys(OVERRIDE.services).filter((service) => !(service in file.services));
  expect(own).toEqual([SWITCH]);
});

it('daemons get the timers of the topology, with BFD no faster than containers keep, and stay ended', () => {
  expect(OVERRIDE.services['node1-bgpd']).toMatchObject({
    restart: 'no',
    environment: { BGPD_BFD_INTERVAL_MILLISECONDS: '100', BGPD_BFD_MULTIPLIER: '3', BGPD_HOLD_TIME_SECONDS: '9' },
  });
  expect(OVERRIDE.services['node1-bgpd']).not.toHaveProperty('volumes');
});

it('bgpd of a node that offers a service gets its routes as a file', () => {
  expect(OVERRIDE.services['node2-bgpd']).toMatchObject({
    environment: { BGPD_CONFIG: '/etc/gingham/bgpd.yaml' },
    volumes: ['/run/gingham-lab/t/node2/bgpd.yaml:/etc/gingham/bgpd.yaml:ro'],
  });
});

it('mode and backend are variables of docker-compose.yml', () => {
  expect(composeVariables(TOPOLOGY)).toMatchObject({ GINGHAM_BACKEND: 'vxlan', GINGHAM_FEED: 'bgpd,flanneld:network' });
});
