// Everything that a runtime or a person can get wrong in one call, and the code that the specification has for it. None of
// these calls reaches the kernel: what is wrong is found before anything is touched.

import { describe, expect, it } from 'vitest';
import { runPlugin } from '../../../cni/plugin.ts';

const GOOD = { cniVersion: '1.1.0', name: 'net', type: 'gingham-cni', subnetFile: '/nonexistent/subnet.env' };
const ENV = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/nonexistent/netns',
  CNI_IFNAME: 'eth0',
  CNI_PATH: '/opt/cni/bin',
};

async function failure(input: string, env: object = {}): Promise<{ code: number; msg: string; cniVersion: string }> {
  const { stdout, exitCode } = await runPlugin({ ...ENV, ...env }, () => input);
  expect(exitCode).toBe(1);
  return JSON.parse(stdout) as { code: number; msg: string; cniVersion: string };
}

const CONFIGURATIONS: readonly (readonly [change: object, code: number, says: string])[] = [
  [{ cniVersion: undefined }, 1, 'cniVersion is missing'],
  [{ cniVersion: '0.2.0' }, 1, 'cniVersion "0.2.0" is not spoken: this plugin speaks 0.3.1, 0.4.0, 1.0.0, 1.1.0'],
  [{ cniVersion: '2.0.0' }, 1, '"2.0.0"'],
  [{ cniVersion: 1 }, 1, 'cniVersion 1'],
  [{ name: undefined }, 7, 'name is missing'],
  [{ name: '' }, 7, 'name: ""'],
  [{ name: '../etc' }, 7, 'name: "../etc" is not accepted: it takes letters, digits, _ . and -'],
  [{ mode: 'ipvlan' }, 7, 'mode: "ipvlan" is not accepted: it takes bridge or routed'],
  [{ mode: 'routed', bridge: 'cni0' }, 7, 'bridge: "cni0" is not accepted: mode "routed" has no bridge'],
  [{ mode: 'routed', hairpinMode: true }, 7, 'hairpinMode: true'],
  [{ bridge: 'a name that is too long' }, 7, 'bridge: "a name that is too long"'],
  [{ bridge: 'a/b' }, 7, 'bridge: "a/b"'],
  [{ mtu: '1450' }, 7, 'mtu: "1450" is not accepted: it takes a whole number from 576 to 65535'],
  [{ mtu: 100 }, 7, 'mtu: 100'],
  [{ mtu: 1450.5 }, 7, 'mtu: 1450.5'],
  [{ subnetFile: 'subnet.env' }, 7, 'subnetFile: "subnet.env" is not accepted: it takes an absolute path'],
  [{ dataDir: 7 }, 7, 'dataDir: 7'],
  [{ runDir: '' }, 7, 'runDir: ""'],
  [{ hairpinMode: 'yes' }, 7, 'hairpinMode: "yes" is not accepted: it takes true or false'],
  [{ isGateway: 1 }, 7, 'isGateway: 1'],
  [{ reuseDelaySeconds: -1 }, 7, 'reuseDelaySeconds: -1'],
  [{ routes: {} }, 7, 'routes: {} is not accepted: it takes a list'],
  [{ routes: [{ gw: '10.0.0.1' }] }, 7, 'routes[0].dst'],
  [
    { routes: [{ dst: '10.0.0.1/8' }] },
    7,
    'routes[0].dst: "10.0.0.1/8" is not accepted: it takes a prefix without host bits',
  ],
  [{ routes: [{ dst: '10.0.0.0/8', gw: 'fd00::1' }] }, 7, 'an address of the same family as 10.0.0.0/8'],
  [{ routes: [{ dst: '10.0.0.0/8', gw: 'x' }] }, 7, 'routes[0].gw: "x"'],
  [{ routes: [{ dst: '10.0.0.0/8', mtu: 10 }] }, 7, 'routes[0].mtu: 10'],
  [{ routes: [{ dst: '10.0.0.0/8', scope: 253 }] }, 2, 'routes[0].scope: 253 is not supported'],
  [{ routes: [{ dst: '10.0.0.0/8', advmss: 1400 }] }, 2, 'routes[0].advmss: 1400'],
  [{ dns: { nameservers: '8.8.8.8' } }, 7, 'dns.nameservers: "8.8.8.8"'],
  [{ dns: { domain: 7 } }, 7, 'dns.domain: 7'],
  [{ ipam: { type: 'host-local' } }, 2, 'ipam: {"type":"host-local"} is not supported'],
  [{ vlan: 7 }, 2, 'vlan: 7 is not supported'],
  [{ macspoofchk: true }, 2, 'macspoofchk: true'],
  [{ promiscMode: true }, 2, 'promiscMode: true is not supported: the bridge is never promiscuous'],
  [{ runtimeConfig: [] }, 7, 'runtimeConfig: [] is not accepted: it takes an object'],
  [{ runtimeConfig: { ips: ['10.5.7.x'] } }, 7, 'runtimeConfig.ips: "10.5.7.x"'],
  [{ runtimeConfig: { mac: '01:00:5e:00:00:01' } }, 7, 'a unicast MAC address'],
  [{ args: { cni: { ips: '10.5.7.9' } } }, 7, 'args.cni.ips: "10.5.7.9" is not accepted: it takes a list'],
  [{ args: { cni: { mac: 'x' } } }, 7, 'args.cni.mac: "x"'],
  [{ prevResult: 'x' }, 7, 'prevResult: "x"'],
  [{ prevResult: { ips: [{ address: 'x' }] } }, 7, 'prevResult.ips'],
  [{}, 11, 'there is no /nonexistent/subnet.env (subnetFile): flanneld has not leased a subnet yet'],
];

describe('a network configuration', () => {
  it.each(CONFIGURATIONS)('%j gives code %i', async (change, code, says) => {
    const error = await failure(JSON.stringify({ ...GOOD, ...change }));
    expect(error).toMatchObject({ code, msg: expect.stringContaining(says) as string });
    expect(error.msg).not.toContain('\n');
  });

  it.each(['', 'null', '[]', '"text"', '{', '{"cniVersion": "1.1.0",}'])('%j is not one: code 6', async (input) => {
    expect(await failure(input)).toMatchObject({ code: 6, cniVersion: '1.1.0' });
  });

  it.each([
    [[{ containerID: 'c1' }], 'it takes objects with containerID and ifname'],
    [['c1'], 'it takes objects with containerID and ifname'],
    ['c1', 'it takes a list'],
    [undefined, 'is missing'],
  ])('valid attachments %j: code 7', async (list, says) => {
    const conf = { ...GOOD, 'cni.dev/valid-attachments': list };
    const error = await failure(JSON.stringify(conf), { CNI_COMMAND: 'GC' });
    expect(error).toMatchObject({ code: 7, msg: expect.stringContaining(says) as string });
  });
});

describe('the environment', () => {
  it.each([
    [{ CNI_COMMAND: undefined }, 4, 'CNI_COMMAND is missing'],
    [{ CNI_COMMAND: 'UPDATE' }, 4, 'CNI_COMMAND=UPDATE is not accepted: it takes ADD, DEL, CHECK, GC, STATUS, VERSION'],
    [{ CNI_CONTAINERID: '' }, 4, 'CNI_CONTAINERID is missing'],
    [{ CNI_CONTAINERID: '../x' }, 4, 'CNI_CONTAINERID=../x'],
    [{ CNI_CONTAINERID: '-x' }, 4, 'CNI_CONTAINERID=-x'],
    [{ CNI_IFNAME: undefined }, 4, 'CNI_IFNAME is missing'],
    [{ CNI_IFNAME: 'a/b' }, 4, 'CNI_IFNAME=a/b'],
    [{ CNI_IFNAME: '..' }, 4, 'CNI_IFNAME=..'],
    [{ CNI_IFNAME: 'eth0:1' }, 4, 'CNI_IFNAME=eth0:1'],
    [{ CNI_IFNAME: 'sixteen-bytes-xx' }, 4, 'CNI_IFNAME=sixteen-bytes-xx'],
    [{ CNI_NETNS: undefined }, 4, 'CNI_NETNS is missing'],
    [{ CNI_ARGS: 'IP' }, 4, 'CNI_ARGS=IP'],
    [{ CNI_ARGS: 'IP=10.5.7' }, 4, 'CNI_ARGS=IP=10.5.7'],
    [{ CNI_ARGS: 'MAC=x' }, 4, 'CNI_ARGS=MAC=x'],
    [{ CNI_ARGS: 'K8S_POD_NAME=x' }, 4, 'K8S_POD_NAME only with IgnoreUnknown=1'],
  ])('%j gives code %i', async (change, code, says) => {
    const error = await failure(JSON.stringify(GOOD), change);
    expect(error).toMatchObject({ code, msg: expect.stringContaining(says) as string });
  });
});

describe('a version of the specification', () => {
  it.each([
    ['0.3.1', 'CHECK'],
    ['0.3.1', 'GC'],
    ['0.4.0', 'STATUS'],
    ['1.0.0', 'GC'],
    ['1.0.0', 'STATUS'],
  ])('%s has no %s', async (cniVersion, command) => {
    const error = await failure(JSON.stringify({ ...GOOD, cniVersion }), { CNI_COMMAND: command });
    expect(error).toMatchObject({ code: 1, cniVersion });
  });

  it.each(['', '{"cniVersion":"0.4.0"}'])('VERSION tells them all, asked with %j', async (input) => {
    const { stdout, exitCode } = await runPlugin({ CNI_COMMAND: 'VERSION' }, () => input);
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toEqual({
      cniVersion: input === '' ? '1.1.0' : '0.4.0',
      supportedVersions: ['0.3.1', '0.4.0', '1.0.0', '1.1.0'],
    });
  });
});
