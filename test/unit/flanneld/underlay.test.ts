// Which interface is the underlay: asked for, by the default route, the only one, or an error that lists what there is.
// The machines are made of plain values: the choice asks nothing of the kernel.

import { describe, expect, test } from 'vitest';
import {
  chooseUnderlay,
  followUnderlay,
  type NodeNetwork,
  type Underlay,
  type UnderlayWish,
} from '../../../flanneld/underlay.ts';
import type { Link, LinkAddress, Route } from '../../../lib/kernel/kernel.ts';
import { address } from '../../../lib/net/address.ts';
import { prefix } from '../../../lib/net/prefix.ts';

function link(index: number, name: string, changed: Partial<Link> = {}): Link {
  return { index, name, mtuBytes: 1500, up: true, running: true, ...changed };
}

function on(linkIndex: number, text: string): LinkAddress {
  return { linkIndex, address: address(text), prefixLength: 24 };
}

function defaultRoute(linkIndex: number, changed: Partial<Route> = {}): Route {
  const nextHops = [{ gateway: address('192.0.2.254'), linkIndex }];
  return {
    table: 254,
    prefix: prefix('0.0.0.0/0'),
    tos: 0,
    metric: 0,
    protocol: 3,
    type: 'unicast',
    nextHops,
    ...changed,
  };
}

const LO = link(1, 'lo');
const TWO: NodeNetwork = {
  links: [LO, link(2, 'eth0'), link(3, 'eth1', { mtuBytes: 9000 })],
  addresses: [on(1, '127.0.0.1'), on(2, '192.0.2.1'), on(2, '192.0.2.11'), on(3, '198.51.100.1'), on(3, '2001:db8::1')],
  routes: [],
};

function choose(network: NodeNetwork, wish: Partial<UnderlayWish> = {}): unknown {
  return chooseUnderlay(network, { iface: '', overlay: [prefix('10.5.0.0/16')], ...wish });
}

describe('chooseUnderlay', () => {
  test('by name: its first IPv4 address', () => {
    expect(choose(TWO, { iface: 'eth1' })).toEqual({
      linkIndex: 3,
      name: 'eth1',
      mtuBytes: 9000,
      local: '198.51.100.1',
      publicIp: '198.51.100.1',
    });
  });

  test('by address: that one', () => {
    expect(choose(TWO, { iface: '192.0.2.11' })).toMatchObject({ name: 'eth0', local: '192.0.2.11' });
    expect(choose(TWO, { iface: '2001:db8::1' })).toMatchObject({ name: 'eth1', local: '2001:db8::1' });
  });

  test('by the default route, the one of lowest metric, with the address that it prefers', () => {
    const routes = [defaultRoute(2, { metric: 200 }), defaultRoute(3, { metric: 100 })];
    expect(choose({ ...TWO, routes })).toMatchObject({ name: 'eth1', local: '198.51.100.1' });
    const preferred = [defaultRoute(2, { source: address('192.0.2.11') })];
    expect(choose({ ...TWO, routes: preferred })).toMatchObject({ name: 'eth0', local: '192.0.2.11' });
  });

  test('without a default route: the only interface with a global address, the overlay not counted', () => {
    const network = {
      links: [LO, link(2, 'eth0'), link(3, 'cni0'), link(4, 'eth1', { up: false })],
      addresses: [on(2, '192.0.2.1'), on(3, '10.5.7.1'), on(4, '198.51.100.1')],
      routes: [],
    };
    expect(choose(network)).toMatchObject({ name: 'eth0' });
  });

  test('an underlay inside the overlay network can be asked for', () => {
    const network = { links: [LO, link(2, 'eth0')], addresses: [on(2, '10.5.0.1')], routes: [] };
    expect(choose(network)).toContain('cannot choose');
    expect(choose(network, { iface: 'eth0' })).toMatchObject({ local: '10.5.0.1' });
    expect(choose({ ...network, routes: [defaultRoute(2)] })).toMatchObject({ local: '10.5.0.1' });
  });

  test('--public-ip behind NAT changes what peers are told and nothing else', () => {
    const publicIp = address('203.0.113.7');
    expect(choose(TWO, { iface: 'eth0', publicIp })).toMatchObject({ local: '192.0.2.1', publicIp: '203.0.113.7' });
  });

  test('--public-ip of an interface chooses it, and says the family', () => {
    expect(choose(TWO, { publicIp: address('198.51.100.1') })).toMatchObject({ name: 'eth1', local: '198.51.100.1' });
    expect(choose(TWO, { iface: 'eth1', publicIp: address('2001:db8::99') })).toMatchObject({ local: '2001:db8::1' });
  });

  test.each([
    [
      {},
      'cannot choose the underlay interface: no default route, and eth0 192.0.2.1, eth0 192.0.2.11, eth1 198.51.100.1',
    ],
    [{ iface: 'eth9' }, '--iface eth9: there is no such interface; there are eth0 192.0.2.1'],
    [{ iface: '192.0.2.99' }, '--iface 192.0.2.99: no interface has this address; there are'],
    [{ iface: 'lo' }, '--iface lo: it has no global IP address'],
    [{ iface: 'eth0', publicIp: address('2001:db8::9') }, '--iface eth0: it has no global IPv6 address'],
  ])('%j is an error that helps', (wish, message) => {
    expect(choose(TWO, wish)).toContain(message);
  });

  test('a machine without any address says so', () => {
    expect(choose({ links: [LO], addresses: [], routes: [] })).toContain('no interface has a global address');
  });

  test('the first of several that is there; then by pattern of name or address; then by reach; in this order', () => {
    expect(choose(TWO, { iface: 'eth9,eth1' })).toMatchObject({ name: 'eth1' });
    expect(choose(TWO, { ifaceRegex: [/^wl/, /1$/] })).toMatchObject({ name: 'eth0', local: '192.0.2.1' });
    expect(choose(TWO, { iface: 'eth9', ifaceRegex: [/^198\.51/] })).toMatchObject({ local: '198.51.100.1' });
    const canReach = { address: address('203.0.113.1'), linkIndex: 3 };
    expect(choose(TWO, { canReach })).toMatchObject({ name: 'eth1', local: '198.51.100.1' });
    expect(choose(TWO, { ifaceRegex: [/^eth0$/], canReach })).toMatchObject({ name: 'eth0' });
  });

  test.each<[Partial<UnderlayWish>, string]>([
    [{ ifaceRegex: [/^wl/] }, '--iface-regex ^wl: no interface has such a name or address; there are eth0'],
    [
      { canReach: { address: address('203.0.113.1'), linkIndex: undefined } },
      '--iface-can-reach 203.0.113.1: the kernel has no route to it',
    ],
    [{ iface: 'eth8,eth9' }, '--iface eth8: there is no such interface'],
  ])('%j: asked for and not there is an error, not another choice', (wish, message) => {
    expect(choose({ ...TWO, routes: [defaultRoute(2)] }, wish)).toContain(message);
  });
});

describe('followUnderlay', () => {
  const now: Underlay = {
    linkIndex: 2,
    name: 'eth0',
    mtuBytes: 1500,
    local: address('192.0.2.11'),
    publicIp: address('192.0.2.11'),
  };
  const follow = (network: NodeNetwork, wish: Partial<UnderlayWish> = {}): unknown =>
    followUnderlay(network, { iface: '', overlay: [], ...wish }, now);

  test('keeps interface and address for as long as they are there, whatever would be chosen today', () => {
    expect(follow({ ...TWO, routes: [defaultRoute(3)] })).toEqual(now);
  });

  test('follows the interface under another name, and to another address of its own', () => {
    const links = [LO, link(2, 'uplink0', { mtuBytes: 1400 }), link(3, 'eth1')];
    const renamed = { ...TWO, links, addresses: TWO.addresses.filter(({ address: one }) => one !== now.local) };
    expect(follow(renamed, { iface: 'eth0' })).toMatchObject({
      ...{ linkIndex: 2, name: 'uplink0', mtuBytes: 1400 },
      ...{ local: '192.0.2.1', publicIp: '192.0.2.1' },
    });
  });

  test('behind NAT the public address stays what it was told to be', () => {
    const publicIp = address('203.0.113.9');
    const addresses = [on(2, '192.0.2.77')];
    expect(follow({ ...TWO, addresses }, { publicIp })).toMatchObject({ local: '192.0.2.77', publicIp });
  });

  test('an interface that is gone leaves it to the choice, or to nothing', () => {
    const links = [LO, link(3, 'eth1')];
    expect(follow({ ...TWO, links })).toMatchObject({ name: 'eth1' });
    expect(follow({ ...TWO, links: [LO] })).toContain('no interface has a global address');
  });
});
