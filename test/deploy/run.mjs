// The deploy test: deploy/install.sh on clean machines with systemd, twice, an upgrade under traffic, and its removal.
//
//   hub: bridge, etcd 10.99.0.1        vm1 10.99.0.11        vm2 10.99.0.12       each a booted Debian root
//
// `node test/deploy/run.mjs`. The machines share nothing but the wire. Ends with a line "N passed, N failed".

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bootstrap, download, installNode } from '../compose/base-image.mjs';
import { run, until } from '../compose/process.mjs';
import { openRun } from '../phases.mjs';
import { bootMachine } from './vm.mjs';
import { ETCD, startWire } from './wire.mjs';

const ROOT = join(import.meta.dirname, '../..');
const PACKAGES = ['systemd', 'systemd-sysv', 'dbus', 'iproute2', 'nftables', 'iputils-ping', 'procps'];
const MACHINES = [1, 2];
/** Time between two packets while something is done to the machines. */
const PING_INTERVAL_SECONDS = 0.005;
/** systemd's rating of a unit's exposure, in tenths: 10 is bad, 0 is best. */
const EXPOSURE_MAX = 30;

const id = process.pid;
const { folder, undo, phase, carryOut } = openRun('deploy');
await carryOut(main);

async function main() {
  await prepare();
  await phase('units are closed: systemd-analyze security', rateUnits);
  const root = join(folder, 'root');
  await phase('a clean Debian root with systemd', () => makeRoot(root));
  const newer = await newerCheckout();
  await phase('wire and etcd', () => startWire({ namespace, machines: MACHINES, folder, undo }));
  const machines = await phase('two machines boot', () => boot(root, newer));
  const [first] = machines;
  await phase('a wrong setting is refused before anything is touched', () => refuseWrongSetting(first));
  await phase('installed, started, ready', () =>
    eachOne(machines, (vm) => install(vm, '/root/gingham', '--env /root/env')),
  );
  await phase('units are right: systemd-analyze verify', () => verifyUnits(first));
  await phase('users and capabilities: not root', () => eachOne(machines, checkProcesses));
  await phase('again: nothing to do', () => eachOne(machines, installAgain));
  await phase('packets cross, both ways', () => connect(machines));
  await phase('gingham status --all: both are ready', () => bothReady(first));
  await phase('a daemon that hangs is restarted by the watchdog', () => hang(first));
  await phase('upgrade of both under traffic: no packet is lost', () => upgrade(machines));
  await phase('the settings change: daemons restart, no packet is lost', () => changeSettings(machines));
  await phase('uninstalled: nothing is left', () => eachOne(machines, uninstall));
}

/** Packages, and the build: the machines see this checkout read-only. */
async function prepare() {
  const stdio = ['ignore', 'inherit', 'inherit'];
  const { status } = spawnSync(process.execPath, ['setup.mjs', 'deploy'], { cwd: ROOT, stdio });
  if (status !== 0) throw new Error('what the deploy test needs could not be put in place');
}

async function verifyUnits({ inside }) {
  const complaints = await inside('cd /etc/systemd/system && systemd-analyze verify gingham-*.service 2>&1');
  if (complaints.includes('gingham')) throw new Error(complaints);
}

async function rateUnits() {
  const ratings = [];
  for (const daemon of ['flanneld', 'bgpd', 'felix']) {
    const unit = join(ROOT, `deploy/systemd/gingham-${daemon}.service`);
    const out = await run('systemd-analyze', ['security', '--offline=true', `--threshold=${EXPOSURE_MAX}`, unit]);
    ratings.push(`${daemon} ${/exposure level for .*: ([\d.]+)/.exec(out)?.[1]}`);
  }
  return ratings.join(', ');
}

async function makeRoot(root) {
  const npm = download('npm@10', folder);
  npm.catch(() => undefined);
  await bootstrap(root, PACKAGES);
  mkdirSync(join(root, 'usr/local/bin'), { recursive: true });
  cpSync(process.execPath, join(root, 'usr/local/bin/node'));
  await installNode(root, undefined, await npm);
  writeFileSync(join(root, 'etc/resolv.conf'), '');
  for (const path of ['root/gingham', 'root/newer']) mkdirSync(join(root, path), { recursive: true });
}

/** A checkout of the next version: the same with another number. */
async function newerCheckout() {
  const newer = join(folder, 'newer');
  // Not cpSync: it makes absolute links of relative ones.
  await run('cp', ['-a', ROOT, newer], { limitSeconds: 180 });
  const file = join(newer, 'package.json');
  writeFileSync(file, readFileSync(file, 'utf8').replace(/"version": ".*"/, '"version": "99.0.0"'));
  return newer;
}

function namespace(part) {
  return `ghd${id}-${part}`;
}

async function boot(root, newer) {
  const machines = [];
  for (const number of MACHINES) {
    const shared = { '/root/gingham': ROOT, '/root/newer': newer };
    const vm = await bootMachine({ name: `vm${number}`, root, netns: namespace(number), shared });
    undo.push(() => vm.end());
    const settings = ['FLANNELD', 'BGPD', 'FELIX'].flatMap((daemon) => [
      `${daemon}_NODE_NAME=vm${number}`,
      `${daemon}_STATUS_ADDRESS=10.99.0.1${number}`,
      ...(daemon === 'FELIX' ? [] : [`${daemon}_ETCD_ENDPOINTS=${ETCD}`]),
    ]);
    await vm.inside('cat > /root/env', {
      input: `# settings of vm${number}\n${settings.join('\n')}\nFELIX_FEED=bgpd,flanneld:network\n`,
    });
    machines.push({ ...vm, number });
  }
  return machines;
}

/** Does it on all machines at once, and tells what each told. */
async function eachOne(machines, work) {
  const told = await Promise.all(machines.map(work));
  return told.filter(Boolean).join('; ');
}

async function refuseWrongSetting({ inside }) {
  await inside('sed s/FELIX_FEED=.*/FELIX_FEED=ospf/ /root/env > /root/wrong');
  const refused = await inside('/root/gingham/deploy/install.sh --env /root/wrong 2>&1').then(
    () => '',
    (error) => error.message,
  );
  if (!/FELIX_FEED="ospf" is not accepted/.test(refused)) throw new Error(`said: ${refused}`);
  const left = (
    await inside('ls -d /etc/gingham /opt/gingham/current /etc/systemd/system/gingham-* 2>/dev/null || true')
  ).trim();
  if (left !== '') throw new Error(`left behind: ${left}`);
}

async function install({ inside }, checkout, args = '') {
  return lastLine(await inside(`${checkout}/deploy/install.sh ${args} 2>&1`, { limitSeconds: 240 }));
}

async function installAgain(vm) {
  const before = await startTimes(vm);
  const said = await install(vm, '/root/gingham');
  if (!said.includes('nothing to do')) throw new Error(`said: ${said}`);
  if ((await startTimes(vm)) !== before) throw new Error('a daemon was restarted');
}

function startTimes({ inside }) {
  return inside('systemctl show -p ExecMainStartTimestampMonotonic gingham-flanneld gingham-bgpd gingham-felix');
}

async function checkProcesses({ inside }) {
  for (const [daemon, capabilities] of [
    // CAP_NET_ADMIN is bit 12, CAP_NET_RAW bit 13 (include/uapi/linux/capability.h).
    ['flanneld', '3000'],
    ['bgpd', '0'],
    ['felix', '1000'],
  ]) {
    const status = await inside(`cat /proc/$(systemctl show -P MainPID gingham-${daemon})/status`);
    const effective = /CapEff:\s*0*([\da-f]+)/.exec(status)?.[1];
    if (effective !== capabilities) throw new Error(`${daemon} has capabilities ${effective}, not ${capabilities}`);
    if (/Uid:\s*0\b/.test(status)) throw new Error(`${daemon} runs as root`);
  }
}

/** Gives each machine an address of its subnet, as a pod would have, and pings from one to the other. */
async function connect(machines) {
  for (const vm of machines) {
    const subnet = /^FLANNEL_SUBNET=(.*)\/\d+$/m.exec(await vm.inside('cat /run/gingham/subnet.env'))?.[1];
    vm.pod = subnet;
    await vm.inside(`ip address add ${subnet}/32 dev lo`);
  }
  const [one, two] = machines;
  await until('the first ping', 20, async () => (await one.inside(`ping -c 1 -W 1 -I ${one.pod} ${two.pod}`)) && true);
  for (const [from, to] of [
    [one, two],
    [two, one],
  ]) {
    await from.inside(`ping -q -c 20 -i 0.05 -I ${from.pod} ${to.pod}`);
  }
}

async function bothReady({ inside }) {
  const { nodes } = JSON.parse(await inside('gingham status --all --json'));
  const ready = nodes.filter((node) => node.ready === true).map(({ node }) => node);
  if (ready.length !== MACHINES.length) throw new Error(JSON.stringify(nodes));
}

async function hang({ inside }) {
  // A shorter watchdog than the unit's, so that the test need not wait for half a minute.
  await inside('mkdir -p /run/systemd/system/gingham-felix.service.d');
  await inside('printf "[Service]\\nWatchdogSec=2\\n" > /run/systemd/system/gingham-felix.service.d/test.conf');
  await inside('systemctl daemon-reload && systemctl restart gingham-felix');
  const pid = (await inside('systemctl show -P MainPID gingham-felix')).trim();
  await inside(`kill -STOP ${pid}`);
  await until('another process', 30, async () => {
    const now = (await inside('systemctl show -P MainPID gingham-felix')).trim();
    return now !== pid && now !== '0' ? true : undefined;
  });
  await until('felix is ready', 30, async () =>
    (await succeedsInside(inside, 'gingham health felix')) ? true : undefined,
  );
  await inside('rm -r /run/systemd/system/gingham-felix.service.d && systemctl daemon-reload');
}

function succeedsInside(inside, command) {
  return inside(command).then(
    () => true,
    () => false,
  );
}

async function upgrade(machines) {
  return underTraffic(machines, async () => {
    for (const vm of machines) {
      await install(vm, '/root/newer');
      const current = await vm.inside('readlink /opt/gingham/current');
      if (!current.includes('99.0.0-')) throw new Error(`current is ${current}`);
    }
  });
}

async function changeSettings(machines) {
  return underTraffic(machines, async () => {
    for (const vm of machines) {
      await vm.inside('(cat /etc/gingham/gingham.env; echo FELIX_LOG_LEVEL=debug) > /root/env2');
      await install(vm, '/root/newer', '--env /root/env2');
      await vm.inside('grep -q FELIX_LOG_LEVEL=debug /etc/gingham/gingham.env');
    }
  });
}

/** Pings both ways while `work` goes on; throws where a packet was lost. */
async function underTraffic(machines, work) {
  const [one, two] = machines;
  const pings = [
    [one, two],
    [two, one],
  ].map(([from, to]) => {
    // One shell: it ends with the file, and ping then tells its sum.
    const ping = `ping -q -i ${PING_INTERVAL_SECONDS} -I ${from.pod} ${to.pod} & pid=$!`;
    const sum = from.inside(
      `touch /run/flow; ${ping}; while [ -e /run/flow ]; do sleep 0.1; done; kill -INT $pid; wait $pid`,
      {
        limitSeconds: 180,
      },
    );
    return sum.catch((error) => error.message);
  });
  try {
    await work();
  } finally {
    for (const vm of machines) await vm.inside('rm -f /run/flow');
  }
  const sums = await Promise.all(pings);
  const told = sums.map((sum) => {
    const [, sent, received] = /(\d+) packets transmitted, (\d+) received/.exec(sum) ?? [];
    if (sent === undefined) throw new Error(`ping did not tell its sum: ${sum}`);
    // The last one may still be under way when ping is ended.
    const lost = Number(sent) - Number(received);
    if (lost > 1) throw new Error(`${lost} of ${sent} packets were lost`);
    return `${received} of ${sent}`;
  });
  return told.join(', ');
}

async function uninstall({ inside }) {
  await inside('/root/newer/deploy/uninstall.sh --purge 2>&1');
  const checks = [
    'ip route show table all proto 71',
    'ip nexthop show proto 71',
    'ip -o link show | grep flannel || true',
    'nft list tables | grep gingham || true',
    'ls -d /opt/gingham /etc/gingham /run/gingham /usr/local/bin/gingham /etc/systemd/system/gingham-* 2>/dev/null || true',
    'getent passwd gingham || true',
    // Not the shell that asks.
    'pgrep -a -f /opt/[g]ingham || true',
  ];
  for (const check of checks) {
    const left = (await inside(check)).trim();
    if (left !== '') throw new Error(`${check}: ${left}`);
  }
}

function lastLine(text) {
  return text.trimEnd().split('\n').at(-1) ?? '';
}
