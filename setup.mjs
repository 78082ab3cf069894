// Puts in place what a command needs, naming each thing before it installs it: npm packages, Debian packages, the build.
//
// Plain JavaScript, because it runs before there is anything else: `node setup.mjs lab|test|browser|compose|deploy|build`.
// It does nothing that is already done, so it may run before every command. What it cannot install it names, with the
// command that would.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Command that must be on the PATH, or file that must be there, and the Debian package that brings it. */
const BUILD_TOOLS = { python3: 'python3', make: 'make', 'g++': 'g++' };
const LAB_TOOLS = {
  etcd: 'etcd-server',
  etcdctl: 'etcd-client',
  ip: 'iproute2',
  nft: 'nftables',
  ping: 'iputils-ping',
  iperf3: 'iperf3',
};
const TEST_TOOLS = {
  ...LAB_TOOLS,
  tcpdump: 'tcpdump',
  tshark: 'tshark',
  ethtool: 'ethtool',
  bird: 'bird2',
  gobgp: 'gobgpd',
  podman: 'podman',
  runc: 'runc',
  busybox: 'busybox-static',
  iptables: 'iptables',
  zsh: 'zsh',
  fish: 'fish',
  '/usr/lib/cni/portmap': 'containernetworking-plugins',
};
/** Of 300 MB, and for the tests of pages alone: they are left out without it. */
const BROWSER_TOOLS = { ...TEST_TOOLS, chromium: 'chromium' };
const COMPOSE_TOOLS = {
  dockerd: 'docker.io',
  'docker-compose': 'docker-compose',
  debootstrap: 'debootstrap',
  nft: 'nftables',
};

const DEPLOY_TOOLS = {
  debootstrap: 'debootstrap',
  'systemd-nspawn': 'systemd-container',
  'systemd-analyze': 'systemd',
  etcd: 'etcd-server',
  etcdctl: 'etcd-client',
  ip: 'iproute2',
};

const PURPOSES = {
  lab: LAB_TOOLS,
  test: TEST_TOOLS,
  browser: BROWSER_TOOLS,
  compose: COMPOSE_TOOLS,
  deploy: DEPLOY_TOOLS,
  build: {},
};

const purpose = process.argv[2];
if (purpose === undefined || !(purpose in PURPOSES)) fail(`usage: node setup.mjs ${Object.keys(PURPOSES).join('|')}`);
checkNode();
// node-tuntap2 is compiled at installation; without the compilers npm leaves it out and only the tuntap driver is lost.
installDebianPackages({ ...PURPOSES[purpose], ...(nodeModulesAreCurrent() ? {} : BUILD_TOOLS) });
installNodeModules();
build();

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

function say(message) {
  process.stderr.write(`setup: ${message}\n`);
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  fail(`gingham needs Node.js 20.19 or later; this is ${process.versions.node}`);
}

function onPath(command) {
  if (command.startsWith('/')) return existsSync(command);
  // Debian keeps ip, nft and tcpdump in sbin, which an ordinary user's PATH lacks.
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => existsSync(join(folder, command)));
}

function installDebianPackages(tools) {
  const missing = Object.keys(tools).filter((command) => !onPath(command));
  if (missing.length === 0) return;
  const packages = missing.map((command) => tools[command]);
  const wanted = `apt-get install --no-install-recommends ${packages.join(' ')}`;
  if (process.getuid?.() !== 0 || !onPath('apt-get')) {
    fail(`missing: ${missing.join(', ')}. As root on Debian or Ubuntu: ${wanted}`);
  }
  say(`installing ${packages.join(', ')} (for ${missing.join(', ')}) with apt-get`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // A service started by the package's own script would occupy etcd's port: policy-rc.d 101 forbids that (Debian policy 9.3.3).
  const policy = '/usr/sbin/policy-rc.d';
  const madePolicy = !existsSync(policy);
  if (madePolicy) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    run('apt-get', ['update', '-qq'], { env });
    run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { env });
  } finally {
    if (madePolicy) execFileSync('rm', ['-f', policy]);
  }
}

function run(command, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (status === 0) return;
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`);
  fail(`setup: "${command} ${args.join(' ')}" failed: ${error?.message ?? `exit code ${status}`}`);
}

function nodeModulesAreCurrent() {
  const installed = 'node_modules/.package-lock.json';
  return existsSync(installed) && statSync(installed).mtimeMs >= statSync('package-lock.json').mtimeMs;
}

function installNodeModules() {
  if (nodeModulesAreCurrent()) return;
  say('installing npm packages (npm ci)');
  run('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { stdio: 'inherit' });
}

function build() {
  const config = JSON.parse(readFileSync('tsconfig.build.json', 'utf8'));
  const newest = Math.max(...['package-lock.json', 'tsconfig.json', ...config.include].map(newestChange));
  const stamp = 'dist/.build.tsbuildinfo';
  if (existsSync(stamp) && statSync(stamp).mtimeMs >= newest) return;
  say('building (tsc)');
  run('npm', ['run', '--silent', 'build'], { stdio: 'inherit' });
  // tsc leaves the stamp as it was where a file is newer and says the same.
  utimesSync(stamp, new Date(), new Date());
}

function newestChange(path) {
  if (!existsSync(path)) return 0;
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newestChange(join(path, name))));
}
