// The keeper of felix's traffic rules on a fake nft: when it writes, when it does not, and what it says of what it cannot.
//
// What the rules do to packets: test/topology/felix-traffic.test.ts.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { trafficCommands } from '../../../felix/desired/traffic-rules.ts';
import { parseClusterFacts } from '../../../felix/traffic/cluster-facts.ts';
import { NftError, nftProgram, withoutCounts } from '../../../felix/traffic/nft.ts';
import { TrafficKeeper, type TrafficMode } from '../../../felix/traffic/traffic-keeper.ts';
import { address } from '../../../lib/net/address.ts';
import { prefix } from '../../../lib/net/prefix.ts';
import { systemClock } from '../../../lib/run/clock.ts';
import { eventually } from '../../eventually.ts';
import { FakeNft } from '../../fakes/fake-nft.ts';
import { nodeKernel } from './felix-bench.ts';

const ENV = 'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n';

let folder = '';
let keepers: TrafficKeeper[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gingham-felix-'));
});
afterEach(async () => {
  for (const keeper of keepers) await keeper.stop();
  keepers = [];
  await rm(folder, { recursive: true, force: true });
});

async function keeper(nft: FakeNft, env = ENV, mode: TrafficMode = 'auto'): Promise<TrafficKeeper> {
  if (env !== '') await writeFile(join(folder, 'subnet.env'), env);
  const made = new TrafficKeeper({
    mode,
    subnetFile: join(folder, 'subnet.env'),
    podInterfaces: ['cni0'],
    kernel: nodeKernel(),
    nft,
    clock: systemClock,
    log: pino({ level: 'silent' }),
  });
  keepers.push(made);
  made.start();
  return made;
}

const reaches = (made: TrafficKeeper, state: string): Promise<unknown> =>
  eventually(`it is ${state}`, () => made.state.state === state);

describe('the keeper', () => {
  it('writes once, and again only when the table is not as it left it', async () => {
    const nft = new FakeNft();
    const made = await keeper(nft);
    await reaches(made, 'applied');
    expect(made.ok).toBe(true);
    made.kick();
    made.kick();
    await eventually('it has looked', () => made.state.written === 1);
    nft.content = 'something else';
    made.kick();
    await eventually('it is repaired', () => made.state.repaired === 1);
    expect(nft.runs).toHaveLength(2);
    expect(nft.runs[1]).toEqual(nft.runs[0]);
  });

  it('without subnet.env leaves what is there', async () => {
    const nft = new FakeNft();
    nft.content = 'of a former run';
    const made = await keeper(nft, '');
    await reaches(made, 'waiting');
    expect(nft).toMatchObject({ content: 'of a former run', runs: [] });
  });

  it('removes the table where it is switched off, whatever subnet.env says', async () => {
    const nft = new FakeNft();
    nft.content = 'of a former run';
    const made = await keeper(nft, ENV, 'off');
    await reaches(made, 'off');
    expect(nft.content).toBeUndefined();
    expect(made.ok).toBe(true);
  });

  it.each([
    ['auto', ENV, false],
    ['auto', ENV.replace('true', 'false'), true],
    ['on', ENV.replace('true', 'false'), false],
  ] as const)('without nft, %s: holds only what was asked for', async (mode, env, ok) => {
    const nft = new FakeNft();
    nft.failure = new NftError('missing', 'there is no program nft (package nftables)');
    const made = await keeper(nft, env, mode);
    await reaches(made, 'unavailable');
    expect(made.ok).toBe(ok);
    expect(made.state.detail).toBe('there is no program nft (package nftables)');
    nft.failure = undefined;
    made.kick();
    await reaches(made, 'applied');
  });

  it('names chains of others that drop forwarded packets', async () => {
    const nft = new FakeNft();
    nft.others = [
      { family: 'ip', table: 'filter', name: 'FORWARD', policy: 'drop' },
      { family: 'ip6', table: 'filter', name: 'FORWARD', policy: 'accept' },
    ];
    const made = await keeper(nft);
    await reaches(made, 'applied');
    expect(made.state.othersDropForwarded).toEqual(['ip filter FORWARD']);
  });
});

describe('the commands', () => {
  const facts = {
    networks: [prefix('10.5.0.0/16')],
    subnets: [prefix('10.5.1.0/24')],
    masquerade: true,
    podInterfaces: ['cni0'],
    tunnels: [{ vni: 1, port: 8472, hosts: [address('192.0.2.2')] }],
  };
  const text = (more: object = {}): string => JSON.stringify(trafficCommands({ ...facts, ...more }));

  it('are one transaction that begins with the removal of what was there', () => {
    const { nftables } = trafficCommands(facts) as { nftables: object[] };
    expect(nftables.slice(0, 3).map((command) => Object.keys(command)[0])).toEqual(['add', 'delete', 'add']);
  });

  it('masquerade only where told to, and only families that there are', () => {
    expect(text()).toContain('"masquerade":{"flags":["fully-random"]}');
    expect(text({ masquerade: false })).not.toContain('fully-random');
    expect(text()).not.toContain('@subnets6');
    expect(text({ subnets: [...facts.subnets, prefix('fd00::/64')] })).toContain('@subnets6');
  });

  it('leave tunnel packets alone where the kernel carries no tunnel', () => {
    expect(text()).toContain('8472');
    expect(text({ tunnels: [] })).not.toContain('8472');
  });
});

it('subnet.env gives networks, subnets and the wish to masquerade', () => {
  expect(parseClusterFacts(ENV)).toEqual({
    networks: ['10.5.0.0/16'],
    subnets: ['10.5.1.0/24'],
    masquerade: true,
  });
  expect(parseClusterFacts('FLANNEL_MTU=1450\n')).toBeUndefined();
});

describe('nft', () => {
  it('that is not there is told apart from one that refuses', async () => {
    const absent = nftProgram(join(folder, 'commands'), 'nft-that-is-not-there');
    await expect(absent.table()).rejects.toMatchObject({ code: 'missing' });
    const refusing = nftProgram(join(folder, 'commands'), 'false');
    await expect(refusing.run({})).rejects.toMatchObject({ code: 'refused' });
  });

  it('listings do not differ by counters or handles', () => {
    expect(withoutCounts('{"a":[{"handle":3,"packets":1,"bytes":2,"x":1}]}')).toBe('{"a":[{"x":1}]}');
  });
});
