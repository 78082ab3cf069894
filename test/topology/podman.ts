// podman with its CNI backend, in a node's network namespace: its own storage, run folder and network configuration, so
// that nothing of the machine's is touched and any number may run at once.
//
// The image is one static busybox, imported from a folder: no registry. nsenter, not `ip netns exec`: that would give
// podman a mount namespace of its own, and the next call could not see what this one has mounted.

import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { STOCK_PLUGINS } from './cni-node.ts';

const execute = promisify(execFile);
const GINGHAM = join(import.meta.dirname, '../../dist/ctl/main.js');
const BUSYBOX = '/bin/busybox';
const APPLETS = ['sh', 'sleep', 'ping', 'wget', 'httpd', 'ip', 'cat'];
const IMAGE = 'gingham/busybox:test';
/** Less than any process may have: without CAP_SYS_RESOURCE nobody may raise a limit. */
const LIMITS = ['--ulimit', 'nofile=1000:1000', '--ulimit', 'nproc=1000:1000'];

export class Podman {
  readonly #namespace: string;
  readonly #folder: string;

  private constructor(namespace: string, folder: string) {
    this.#namespace = namespace;
    this.#folder = folder;
  }

  /** podman in this namespace, with the network that `gingham cni install` writes for the node with this run folder. */
  static async make(namespace: string, runFolder: string): Promise<Podman> {
    const folder = await mkdtemp(join(tmpdir(), 'gh-podman-'));
    const [binDir, confDir] = [join(folder, 'bin'), join(folder, 'net.d')];
    const install = ['cni', 'install', '--run-dir', runFolder, '--bin-dir', binDir, '--conf-dir', confDir];
    await execute(process.execPath, [GINGHAM, ...install, '--chain', 'portmap,tuning']);
    const conf = [
      '[engine]',
      'cgroup_manager = "cgroupfs"',
      'events_logger = "none"',
      'runtime = "runc"',
      'lock_type = "file"',
      '[network]',
      'network_backend = "cni"',
      `cni_plugin_dirs = ["${binDir}", "${STOCK_PLUGINS}"]`,
    ];
    await writeFile(join(folder, 'containers.conf'), `${conf.join('\n')}\n`);
    const podman = new Podman(namespace, folder);
    await podman.#importImage();
    return podman;
  }

  /** `podman <args>`; its standard output. */
  async run(...args: readonly string[]): Promise<string> {
    const at = (name: string): string => join(this.#folder, name);
    const folders = [
      '--root',
      at('root'),
      '--runroot',
      at('runroot'),
      '--tmpdir',
      at('tmp'),
      '--storage-driver',
      'vfs',
    ];
    const argv = [
      `--net=/run/netns/${this.#namespace}`,
      '--',
      'podman',
      ...folders,
      '--network-config-dir',
      at('net.d'),
    ];
    const env = { ...process.env, CONTAINERS_CONF: at('containers.conf') };
    const { stdout } = await execute('nsenter', [...argv, ...args], { env });
    return stdout.trim();
  }

  /** Starts a container in the background. */
  async start(name: string, flags: readonly string[], ...command: readonly string[]): Promise<void> {
    await this.run('run', '-d', '--name', name, '--network', 'gingham', ...LIMITS, ...flags, IMAGE, ...command);
  }

  /** Runs a command in a container of its own; its standard output. */
  once(...command: readonly string[]): Promise<string> {
    return this.run('run', '--rm', '--network', 'gingham', ...LIMITS, IMAGE, ...command);
  }

  async address(name: string): Promise<string> {
    const networks = JSON.parse(await this.run('inspect', '-f', '{{json .NetworkSettings.Networks}}', name)) as Record<
      string,
      { IPAddress: string }
    >;
    return networks['gingham']?.IPAddress ?? '';
  }

  async remove(): Promise<void> {
    await this.run('rm', '-a', '-f', '-t', '0');
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #importImage(): Promise<void> {
    const rootfs = join(this.#folder, 'rootfs');
    await mkdir(join(rootfs, 'bin'), { recursive: true });
    await copyFile(BUSYBOX, join(rootfs, 'bin/busybox'));
    await chmod(join(rootfs, 'bin/busybox'), 0o755);
    for (const applet of APPLETS) await symlink('busybox', join(rootfs, 'bin', applet));
    const tar = join(this.#folder, 'rootfs.tar');
    await execute('tar', ['-C', rootfs, '-cf', tar, '.']);
    await this.run('import', tar, IMAGE);
  }
}
