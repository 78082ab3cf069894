// Sees to it that the engine has the Dockerfile's base image: there already, else pulled, else built from packages.
//
// What is built where no image registry can be reached is the same in kind as the published image: a minimal Debian with
// Node.js in /usr/local. Only this stand-in also takes over the machine's own CA bundle and its apt and npm settings, so
// that the unmodified Dockerfile builds behind a proxy or a private certificate authority.

import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, succeeds } from './process.mjs';
import { removeFolder } from './scratch-folder.mjs';

export const BASE_IMAGE = 'node:24-bookworm-slim';

const SUITE = 'bookworm';
const NODE_MAJOR = 24;
/** The npm that Node.js 24 comes with. */
const NPM_MAJOR = 11;
const CA_BUNDLE = 'etc/ssl/certs/ca-certificates.crt';
/** Nothing that apt can make again stays in a layer. */
const NO_APT_CACHE = `Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
`;
/** apt settings that say how to reach a mirror. */
const APT_NETWORK = /^Acquire::(http|https|Check-Valid-Until|Check-Date|ForceIPv4|Retries)\b/;
const NPM_NETWORK = ['registry', 'proxy', 'https-proxy', 'noproxy', 'strict-ssl'];

/** `env` reaches the engine; `folder` is where the stand-in is put together. */
export async function ensureBaseImage(env, folder) {
  if (await succeeds('docker', ['image', 'inspect', BASE_IMAGE], { env })) return 'present';
  if (await succeeds('docker', ['pull', '--quiet', BASE_IMAGE], { env, limitSeconds: 120 })) return 'pulled';
  console.log(`${BASE_IMAGE} cannot be pulled: building a stand-in with debootstrap`);
  const root = join(folder, 'base-root');
  try {
    // Two downloads side by side; debootstrap insists on an empty folder, so Node.js is unpacked after it.
    const packages = Promise.all([
      download(`node-linux-${process.arch}@${NODE_MAJOR}`, folder),
      download(`npm@${NPM_MAJOR}`, folder),
    ]);
    packages.catch(() => undefined);
    await bootstrap(root);
    trim(root);
    await run('chroot', [root, 'useradd', '--uid', '1000', '--create-home', 'node']);
    const [node, npm] = await packages;
    await installNode(root, node, npm);
    await takeOverNetworkSettings(root);
    await importImage(root, env);
  } finally {
    await removeFolder(root);
  }
  return 'built';
}

/** A minimal Debian in the empty folder `root`, with `packages` besides. */
export async function bootstrap(root, packages = []) {
  const mirror = await hostMirror();
  const include = packages.length === 0 ? [] : [`--include=${packages.join(',')}`];
  await run('debootstrap', ['--variant=minbase', ...include, SUITE, root, ...(mirror === undefined ? [] : [mirror])], {
    limitSeconds: 300,
  });
}

/** Without what the published slim images lack too. */
function trim(root) {
  for (const path of [
    'usr/share/doc',
    'usr/share/man',
    'usr/share/info',
    'usr/share/locale',
    'var/cache/apt',
    'var/lib/apt/lists',
  ]) {
    rmSync(join(root, path), { recursive: true, force: true });
  }
  mkdirSync(join(root, 'var/cache/apt/archives/partial'), { recursive: true });
  writeFileSync(join(root, 'etc/apt/apt.conf.d/80no-cache'), NO_APT_CACHE);
}

/** The mirror from which this machine takes the same release, where it does. */
async function hostMirror() {
  const format = ['indextargets', '--format', '$(CODENAME) $(REPO_URI)', 'Created-By: Packages'];
  const lines = await run('apt-get', format).catch(() => '');
  return lines
    .split('\n')
    .map((line) => line.split(' '))
    .find(([codename]) => codename === SUITE)?.[1];
}

/** Through npm, so that its settings on this machine (registry, proxy, certificates) hold. Gives the archive's path. */
export async function download(name, folder) {
  const out = await run('npm', ['pack', '--json', '--loglevel=error', '--pack-destination', folder, name], {
    limitSeconds: 300,
  });
  return join(folder, JSON.parse(out)[0].filename);
}

/** Unpacks the archives of Node.js (absent: it is there) and npm into `/usr/local` of `root`. */
export async function installNode(root, node, npm) {
  const local = join(root, 'usr/local');
  const modules = join(local, 'lib/node_modules/npm');
  mkdirSync(modules, { recursive: true });
  if (node !== undefined) await run('tar', ['-xzf', node, '-C', local, '--strip-components=1', '--no-same-owner']);
  await run('tar', ['-xzf', npm, '-C', modules, '--strip-components=1', '--no-same-owner']);
  for (const name of ['npm', 'npx'])
    symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(local, 'bin', name));
  for (const archive of [node, npm]) if (archive !== undefined) rmSync(archive);
}

async function takeOverNetworkSettings(root) {
  const bundle = process.env.NODE_EXTRA_CA_CERTS ?? `/${CA_BUNDLE}`;
  mkdirSync(join(root, 'etc/ssl/certs'), { recursive: true });
  mkdirSync(join(root, 'usr/local/etc'), { recursive: true });
  if (existsSync(bundle)) copyFileSync(bundle, join(root, CA_BUNDLE));
  const apt = await run('apt-config', ['dump']).catch(() => '');
  const kept = apt.split('\n').filter((line) => APT_NETWORK.test(line));
  writeFileSync(join(root, 'etc/apt/apt.conf.d/90host'), `${kept.join('\n')}\n`);
  const npm = [`cafile=/${CA_BUNDLE}`];
  for (const key of NPM_NETWORK) {
    const value = (await run('npm', ['config', 'get', key])).trim();
    if (value !== '' && value !== 'null' && value !== 'undefined') npm.push(`${key}=${value}`);
  }
  // npm's global settings are in the "etc" of the prefix.
  writeFileSync(join(root, 'usr/local/etc/npmrc'), `${npm.join('\n')}\n`);
}

/** `tar | docker import`, without a copy on disk. */
async function importImage(root, env) {
  const tar = spawn('tar', ['-C', root, '--numeric-owner', '-c', '.'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const packed = new Promise((resolve, reject) => {
    tar.once('error', reject);
    // Not 'close': that one waits for the pipe, which docker reads in our place.
    tar.once('exit', (code) => (code === 0 ? resolve() : reject(new Error(`tar of ${root} ended with ${code}`))));
  });
  const changes = ['CMD ["node"]', 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
  const args = ['import', ...changes.flatMap((change) => ['--change', change]), '-', BASE_IMAGE];
  const stdio = [tar.stdout, 'ignore', 'inherit'];
  await Promise.all([packed, run('docker', args, { env, limitSeconds: 180, stdio })]);
}
