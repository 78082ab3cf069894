// `gingham drain` and `undrain` on a live cluster: what the other nodes make of it, and that no packet is lost meanwhile.
// That traffic moves to another node where there is one: bgpd-graceful.test.ts.

import { spawn } from 'node:child_process';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { peersAnswer } from '../../ctl/peers.ts';
import type { ShownExplanation } from '../../ctl/routes.ts';
import { eventually } from '../eventually.ts';
import { answerOf, ctlWords, gingham, PATIENCE } from './ctl-command.ts';
import { lab, labName, labOk } from './lab-command.ts';

interface Status {
  readonly nodes: readonly { readonly node: string; readonly subnet: string }[];
}

const name = labName();
let subnet: string;

beforeAll(async () => {
  await labOk(name, 'up');
  const { nodes } = JSON.parse(await labOk(name, 'status', '--json')) as Status;
  subnet = nodes.find(({ node }) => node === 'node2')?.subnet ?? '';
});

afterAll(() => lab(name, 'down'));

it('drained and back in service: everybody knows, nobody loses a packet', async () => {
  const target = subnet.replace(/0\/\d+$/, '2');
  const ping = spawn('ip', ['netns', 'exec', `gh-${name}-node1-pod`, 'ping', '-n', '-i', '0.02', target]);
  let said = '';
  ping.stdout.on('data', (bytes) => {
    said += String(bytes);
  });
  const echoes = (): number => said.match(/icmp_seq/g)?.length ?? 0;
  const more = (what: string): Promise<boolean> => {
    const before = echoes();
    return eventually(`ten more pings have come back ${what}`, () => echoes() >= before + 10, PATIENCE);
  };
  try {
    await more('before');
    expect(await command('drain')).toBe('draining: 2 peers were told\n');
    await eventually('node1 has it as the last choice', async () => (await preference()) === 0, PATIENCE);
    await more('while it is drained');
    const { peers } = await answerOf(name, peersAnswer, 'peers');
    expect(peers.map(({ state, sessions }) => [state, sessions])).toEqual([
      ['Established', 1],
      ['Established', 1],
    ]);
    expect(await command('undrain')).toBe('in service: 2 peers were told\n');
    await eventually('node1 has it as before', async () => (await preference()) === 100, PATIENCE);
    await more('after');
    ping.kill('SIGINT');
    await eventually('ping has summed up', () => said.includes('packets transmitted'), PATIENCE);
    expect(said).toContain(' 0% packet loss');
  } finally {
    ping.kill('SIGKILL');
  }
});

function command(what: 'drain' | 'undrain'): Promise<string> {
  return labOk(name, 'exec', 'node2', '--', ...ctlWords(name, 'node2'), what);
}

/** LOCAL_PREF of the route to node2's subnet at node1. */
async function preference(): Promise<number | undefined> {
  const { stdout } = await gingham(name, 'routes', subnet, '--json');
  return (JSON.parse(stdout) as ShownExplanation).candidates.find(({ from }) => from === 'node2')?.localPref;
}
