// Options of the lab: what is accepted, what is said of the rest, and which contradict each other.
//
// The same refusals through the command line are in test/topology.

import { expect, it } from 'vitest';
import {
  combineOptions,
  DEFAULT_OPTIONS,
  LAB_NAME,
  NODES,
  nodeBackend,
  optionsText,
  optionValue,
} from '../../../lab/options.ts';

it.each(['1', '3', '50'])('takes --nodes %s', (raw) => {
  expect(optionValue('--nodes', NODES, raw)).toBe(Number(raw));
});

it.each(['0', '51', '-1', '3.5', 'three', '', ' 3', '1e1'])('refuses --nodes %j and says what it takes', (raw) => {
  expect(() => optionValue('--nodes', NODES, raw)).toThrow(
    `lab: --nodes ${JSON.stringify(raw)} is not accepted: it takes a whole number of nodes from 1 to 50`,
  );
});

it.each(['a-b', 'A', '1a', '', '..', 'a/b', 'abcdefghijklmnopq'])('refuses --name %j', (raw) => {
  expect(() => optionValue('--name', LAB_NAME, raw)).toThrow('is not accepted');
});

it.each(['node2', 'node2=', 'node2=gre', '=vxlan', 'node0=vxlan', 'n2=vxlan', 'node2=vxlan=udp'])(
  'refuses --node-backend %j',
  (raw) => {
    expect(() => nodeBackend(raw)).toThrow('it takes <node>=<backend>, like node2=vxlan-user');
  },
);

it('mixes only what speaks the same on the wire', () => {
  const mixed = { nodeBackends: { node2: 'vxlan-user' } } as const;
  expect(optionsText(combineOptions(DEFAULT_OPTIONS, mixed))).toBe(
    '--nodes 3 --backend vxlan --mode routed --node-backend node2=vxlan-user',
  );
  expect(() => combineOptions(DEFAULT_OPTIONS, { ...mixed, backend: 'udp' })).toThrow(
    'lab: --node-backend node2=vxlan-user cannot talk to --backend udp: only vxlan and vxlan-user mix',
  );
  expect(() => combineOptions(DEFAULT_OPTIONS, { nodeBackends: { node4: 'vxlan' } })).toThrow(
    'lab: --node-backend node4=vxlan names no node: this lab has node1 to node3',
  );
});
