// The checks of `gingham doctor`: facts in, findings out. Pure.
//
// Each check says what is wrong in terms of what was seen, and how it is mended. A check that has nothing to look at (a
// daemon that is silent) finds nothing: the silence itself is found by `daemonsRun`.

import { parsePrefix, prefixesOverlap } from '../../lib/net/prefix.ts';
import type { Readiness } from '../daemon-http.ts';
import { isEstablished } from '../daemon-status.ts';
import type { Facts, Finding, PathFacts } from './facts.ts';

/** Clocks of nodes may differ by this much: leases and certificates do not mind, events are read in the wrong order. */
const SKEW_SECONDS_MAX = 2;

const DAY_MS = 86_400_000;
const CERTIFICATE_WARNING_DAYS = 14;

/** Ports that a silent daemon may have failed to get, by its defaults. */
const PORTS: Readonly<Record<string, readonly string[]>> = {
  flanneld: ['tcp 9251'],
  bgpd: ['tcp 9252', 'tcp 1790'],
  felix: ['tcp 9253'],
};

/** Checks of readiness that have a check of their own here, or that follow from it. */
const JUDGED_BELOW = new Set(['forwarding', 'peers']);

const FEATURE_NEEDS: Readonly<Record<string, string>> = {
  vxlan: 'the vxlan backend: use --vxlan-user, udp or host-gw, or a kernel with CONFIG_VXLAN',
  tun: 'user-space backends (udp, vxlan-user): load the module "tun"; in a container pass --device /dev/net/tun',
  nftables: "felix's masquerade and anti-spoof rules: install nftables, or a kernel with CONFIG_NF_TABLES",
  'nexthop objects': 'failover in one kernel message: felix writes plain routes instead; Linux 5.3 and later have them',
};

const CHECKS: readonly ((facts: Facts) => readonly Finding[])[] = [
  daemonsRun,
  readiness,
  etcdAnswers,
  clocksAgree,
  namesAreUnique,
  features,
  forwarding,
  reversePath,
  mtus,
  podBridges,
  pathsWork,
  sessions,
  overlaps,
  certificates,
  firewall,
  configInUse,
];

/** Every finding, in the order in which one mends them. */
export function examine(facts: Facts): readonly Finding[] {
  return CHECKS.flatMap((check) => check(facts));
}

function daemonsRun(facts: Facts): readonly Finding[] {
  const { flanneld, bgpd, felix, boundPorts } = facts;
  const all = { flanneld, bgpd, felix };
  return Object.entries(all).flatMap(([name, { readiness }]): readonly Finding[] => {
    const check = `${name} runs`;
    if (typeof readiness !== 'string') return [{ check, state: 'ok', detail: 'it answers' }];
    // In flannel mode there is no bgpd.
    if (name === 'bgpd' && readiness.includes('has not started') && typeof felix.status !== 'string') {
      if (felix.status.mode === 'flannel') return [];
    }
    const taken = (PORTS[name] ?? []).filter((port) => boundPorts.includes(port));
    if (taken.length > 0) {
      const mend = `find who has it (ss -lntup) and stop that, or give ${name} another port`;
      return [fail(check, `${readiness}; port ${taken.join(', ')} is taken by another program`, mend)];
    }
    return [fail(check, readiness, `start ${name} and read its log: journalctl -u gingham-${name}, or docker logs`)];
  });
}

function readiness({ flanneld, bgpd, felix }: Facts): readonly Finding[] {
  const all: Readonly<Record<string, Readiness | string>> = {
    flanneld: flanneld.readiness,
    bgpd: bgpd.readiness,
    felix: felix.readiness,
  };
  return Object.entries(all).flatMap(([name, told]) => {
    if (typeof told === 'string') return [];
    return told.checks
      .filter((check) => !check.ok && !JUDGED_BELOW.has(check.name))
      .map((check) =>
        fail(`${name} is ready`, `${check.name}: ${check.detail}`, `see "gingham events" and ${name}'s log`),
      );
  });
}

function etcdAnswers({ etcd, flanneld }: Facts): readonly Finding[] {
  const bad = etcd.filter(({ problem }) => problem !== undefined);
  const mend = 'start it, open its port, and check --etcd-endpoints, --etcd-cafile, --etcd-certfile';
  const state = bad.length === etcd.length ? ('fail' as const) : ('warn' as const);
  const found = bad.map(({ endpoint, problem = '' }) => ({
    ...{ check: 'etcd answers', state, mend },
    detail: `${endpoint}: ${problem}`,
  }));
  if (found.length > 0) return found;
  if (typeof flanneld.status !== 'string' && !flanneld.status.etcd.connected) {
    const reason = `flanneld has no watch: ${flanneld.status.etcd.reason ?? ''}`;
    return [fail('etcd answers', reason, 'etcd answers over HTTP: look for a wrong user, prefix or a lost quorum')];
  }
  return etcd.length === 0 ? [] : [ok('etcd answers', etcd.map(({ endpoint }) => endpoint).join(', '))];
}

function clocksAgree({ etcd }: Facts): readonly Finding[] {
  const known = etcd.flatMap(({ endpoint, aheadSeconds }) =>
    aheadSeconds === undefined ? [] : [{ endpoint, aheadSeconds }],
  );
  const mend = 'run a time service (systemd-timesyncd, chrony) on both machines';
  const far = known.filter(({ aheadSeconds }) => Math.abs(aheadSeconds) > SKEW_SECONDS_MAX);
  if (far.length === 0) return known.length === 0 ? [] : [ok('clocks agree', 'with etcd, to within a second')];
  return far.map(({ endpoint, aheadSeconds }) => {
    const side = aheadSeconds > 0 ? 'ahead of' : 'behind';
    return fail('clocks agree', `${endpoint} is ${Math.abs(aheadSeconds).toFixed(0)} s ${side} this node`, mend);
  });
}

function namesAreUnique({ flanneld, bgpd }: Facts): readonly Finding[] {
  const check = 'names are unique';
  const mend = 'give each node a name of its own (--node-name, or the host name) and restart its daemons';
  const lease = failing(flanneld.readiness, 'lease');
  if (lease !== undefined) return [fail(check, `the lease of this name: ${lease}`, mend)];
  const takenFrom = typeof flanneld.status === 'string' ? undefined : flanneld.status.lease?.takenFrom;
  if (takenFrom !== undefined) {
    const detail = `until this node started, a node of this name was at ${takenFrom}`;
    return [{ check, state: 'warn', detail, mend: `fine if this node moved; if both are there, ${mend}` }];
  }
  const registered = failing(bgpd.readiness, 'registered');
  if (registered !== undefined && /another|other/.test(registered)) return [fail(check, registered, mend)];
  const routerId = failing(bgpd.readiness, 'router-id');
  return routerId === undefined
    ? []
    : [fail(check, `router id ${routerId}`, 'give each bgpd a --router-id of its own')];
}

function features({ features: found }: Facts): readonly Finding[] {
  return Object.entries(found).map(([name, there]) => {
    const check = `kernel has ${name}`;
    if (there === true) return ok(check, 'tried in a namespace of its own');
    return { check, state: 'warn', detail: there, mend: `needed for ${FEATURE_NEEDS[name] ?? name}` };
  });
}

function forwarding({ sysctls }: Facts): readonly Finding[] {
  const name = 'net.ipv4.ip_forward';
  const value = sysctls[name];
  if (value === undefined) return [];
  if (value !== 0) return [ok('packets are forwarded', `${name} is ${value}`)];
  return [fail('packets are forwarded', `${name} is 0`, `sysctl -w ${name}=1, and in /etc/sysctl.d/ to keep it`)];
}

function reversePath({ sysctls }: Facts): readonly Finding[] {
  // The kernel takes the larger of "all" and the device's own (Documentation/networking/ip-sysctl.rst).
  const all = sysctls['net.ipv4.conf.all.rp_filter'] ?? 0;
  const strict = Object.entries(sysctls).filter(
    ([name, value]) => name.endsWith('.rp_filter') && !name.includes('.all.') && Math.max(value, all) === 1,
  );
  return strict.map(([name]) => ({
    check: 'replies may come another way',
    state: 'warn' as const,
    detail: `${name} is strict (1): packets are dropped where the way back is another link`,
    mend: `sysctl -w net.ipv4.conf.all.rp_filter=2 ${name}=2 unless every node has one link only`,
  }));
}

function mtus({ flanneld, links, subnetEnv }: Facts): readonly Finding[] {
  if (typeof flanneld.status === 'string') return [];
  const { device, mtu } = flanneld.status;
  const check = 'MTU of the tunnel';
  const link = links.find(({ name }) => name === device);
  if (device !== null && link === undefined) {
    return [fail(check, `there is no ${device} here`, 'flanneld makes it anew within seconds; else read its log')];
  }
  if (link !== undefined && mtu !== null && link.mtuBytes !== mtu) {
    const detail = `${link.name} has ${link.mtuBytes}, flanneld wants ${mtu}`;
    return [fail(check, detail, `ip link set ${link.name} mtu ${mtu}; find who changes it`)];
  }
  const mend = 'restart flanneld; then plug the pods again';
  if (typeof subnetEnv === 'string') return [fail(check, `subnet.env: ${subnetEnv}`, mend)];
  if (subnetEnv !== undefined && mtu !== null && subnetEnv.mtuBytes !== mtu) {
    return [fail(check, `subnet.env says ${subnetEnv.mtuBytes}, flanneld uses ${mtu}`, mend)];
  }
  return mtu === null ? [] : [ok(check, `${mtu} bytes`)];
}

function podBridges({ flanneld, links }: Facts): readonly Finding[] {
  const mtu = typeof flanneld.status === 'string' ? null : flanneld.status.mtu;
  if (mtu === null) return [];
  return links
    .filter(({ name, mtuBytes }) => /^(cni|veth|gh)/.test(name) && mtuBytes > mtu)
    .map(({ name, mtuBytes }) => ({
      check: 'MTU of the pods',
      state: 'warn' as const,
      detail: `${name} has ${mtuBytes}, the tunnel ${mtu}: large packets of pods get lost or refused`,
      mend: `ip link set ${name} mtu ${mtu}, in the pods too, and set FLANNEL_MTU where they are plugged`,
    }));
}

function pathsWork({ paths, flanneld }: Facts): readonly Finding[] {
  if (typeof paths === 'string') {
    return [{ check: 'nodes are reached', state: 'warn', detail: paths, mend: 'install iputils-ping' }];
  }
  const backend = typeof flanneld.status === 'string' ? null : flanneld.status.backend;
  return paths.map((path) => pathFinding(path, backend ?? ''));
}

function pathFinding(path: PathFacts, backend: string): Finding {
  const { node, publicIP, underlay, underlayFull, tunnel = true, tunnelFull = true } = path;
  const check = `${node} is reached`;
  const port = backend === 'udp' ? 'UDP port 8285' : backend.startsWith('ipip') ? 'IP protocol 4' : 'UDP port 8472';
  if (!underlay && !tunnel) {
    return fail(
      check,
      `no answer from ${publicIP}, nor through the tunnel`,
      'is it running, and is there a route to it?',
    );
  }
  if (!tunnel) {
    const detail = `${publicIP} answers, the tunnel does not`;
    return fail(check, detail, `let ${port} through between the nodes, and check that flanneld runs on ${node}`);
  }
  if (!tunnelFull) {
    const where = underlayFull ? 'the tunnel loses' : 'the underlay loses';
    const detail = `small packets arrive, ${where} those of full size`;
    return fail(
      check,
      detail,
      'a link on the way has a smaller MTU: raise it, or lower that of the underlay interface',
    );
  }
  if (!underlay) return ok(check, `through the tunnel; ${publicIP} itself answers no ping`);
  return ok(check, 'small and full-size packets');
}

function sessions({ bgpd }: Facts): readonly Finding[] {
  if (typeof bgpd.status === 'string') return [];
  const { peers } = bgpd.status;
  const down = peers.filter(({ state }) => !isEstablished(state));
  const mend = 'let TCP port 1790 through, and check that bgpd runs there';
  const found = down.map(({ node, state, whyDown, lastFailure }) =>
    fail(`session with ${node}`, `${state}: ${whyDown ?? lastFailure ?? 'not tried yet'}`, mend),
  );
  return found.length > 0 ? found : [ok('sessions', `${peers.length} of ${peers.length} established`)];
}

function overlaps({ subnetEnv, foreignRoutes, flanneld }: Facts): readonly Finding[] {
  const device = typeof flanneld.status === 'string' ? null : flanneld.status.device;
  const networks = typeof subnetEnv === 'string' ? [] : (subnetEnv?.networks ?? []);
  const subnet = typeof flanneld.status === 'string' ? undefined : parsePrefix(flanneld.status.subnet ?? '');
  return foreignRoutes.flatMap(({ destination, device: through }) => {
    const parsed = parsePrefix(destination);
    // Routes to this node's own pods, and the tunnel's own address, lie within the network by design.
    if (parsed === undefined || through === device || (subnet !== undefined && prefixesOverlap(parsed, subnet)))
      return [];
    const network = networks.find((candidate) => prefixesOverlap(candidate, parsed));
    if (network === undefined) return [];
    const detail = `${destination} (${through}) lies in the overlay's network ${network}`;
    return [fail('addresses are free', detail, 'choose another Network in the config, or renumber that link')];
  });
}

function certificates({ certificates: all, nowMs }: Facts): readonly Finding[] {
  return all.map(({ daemon, path, validFrom = '', validTo = '', problem }) => {
    const check = `certificate of ${daemon}`;
    if (problem !== undefined) return fail(check, `${path}: ${problem}`, 'put a PEM file there that can be read');
    const daysLeft = (Date.parse(validTo) - nowMs) / DAY_MS;
    if (Date.parse(validFrom) > nowMs) return fail(check, `${path} is valid from ${validFrom} only`, 'check the clock');
    if (daysLeft < 0)
      return fail(check, `${path} ran out on ${validTo}`, 'put a new one there; bgpd takes it by itself');
    if (daysLeft > CERTIFICATE_WARNING_DAYS) return ok(check, `${path}, until ${validTo}`);
    const mend = 'renew it in time; bgpd takes a new file by itself, flanneld at its next start';
    return { check, state: 'warn', detail: `${path} runs out on ${validTo}`, mend };
  });
}

function firewall({ droppingChains }: Facts): readonly Finding[] {
  const mend = 'accept the overlay network there (Docker: chain DOCKER-USER)';
  return droppingChains.map((chain) => fail('nobody drops what is forwarded', `${chain} drops it`, mend));
}

function configInUse({ flanneld }: Facts): readonly Finding[] {
  if (typeof flanneld.status === 'string') return [];
  const { config, malformedLeases } = flanneld.status;
  const found: Finding[] = [];
  if (config.fault !== null) found.push(fail('network config', config.fault, 'mend <prefix>/config in etcd'));
  if (config.needsRestart.length > 0) {
    const detail = `changed in etcd, not in use yet: ${config.needsRestart.join('; ')}`;
    found.push({ check: 'network config', state: 'warn', detail, mend: 'restart flanneld on every node' });
  }
  if (malformedLeases > 0) {
    const detail = `${malformedLeases} entries in etcd are no leases`;
    found.push({ check: 'leases', state: 'warn', detail, mend: "flanneld's log names the keys: delete or mend them" });
  }
  return found;
}

function failing(readiness: Readiness | string, name: string): string | undefined {
  if (typeof readiness === 'string') return undefined;
  return readiness.checks.find((check) => check.name === name && !check.ok)?.detail;
}

function ok(check: string, detail: string): Finding {
  return { check, state: 'ok', detail };
}

function fail(check: string, detail: string, mend: string): Finding {
  return { check, state: 'fail', detail, mend };
}
