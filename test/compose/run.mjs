// The compose test: the unmodified docker-compose.yml on a real engine, with real packets. `node test/compose/run.mjs`.
//
// Brings the cluster up, pings every pod from every pod, kills node3 and sees the others drop its routes, brings it back,
// and takes everything down. What it needs and lacks (docker, compose, the base image) it puts in place itself, and
// names it. Ends with a line "N passed, N failed".

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openRun } from '../phases.mjs';
import { ensureBaseImage } from './base-image.mjs';
import { cluster, findCompose } from './cluster.mjs';
import { startEngine } from './engine.mjs';
import { parsePage, runPage } from './lab-page.mjs';
import { fiveScenarios } from './lab-scenarios.mjs';
import { runPodsPage } from './pods.mjs';
import { run, succeeds, until } from './process.mjs';

const ROOT = join(import.meta.dirname, '../..');
const NODES = ['node1', 'node2', 'node3'];
const PROJECT = `gingham-test-${process.pid}`;
/** Folders of labs/, each with a page to follow. */
const LABS = ['1-flat', '2-racks', '3-backends', '4-etcd', '5-anycast'];
const TOOLS = ['docker', 'dockerd', 'debootstrap', 'nft'];

const { folder, undo, phase, isEnding, carryOut } = openRun('compose');
await carryOut(main);

async function main() {
  await installTools();
  const engine = await phase('engine', () => startEngine(join(folder, 'engine')));
  undo.push(engine.stop);
  const { env } = engine;
  await phase('base image', () => ensureBaseImage(env, folder));
  const compose = await findCompose(env);
  await scenario('vxlan, routed mode', compose, env, lifeOfANode);
  await scenario('vxlan in user space, routed mode', compose, { ...env, GINGHAM_VXLAN_USER: 'true' });
  await scenario('udp, flannel mode', compose, { ...env, GINGHAM_BACKEND: 'udp', GINGHAM_FEED: 'flanneld' });
  await phase('five scenarios of the lab', () => fiveScenarios(env));
  for (const lab of LABS) await followLab(lab, compose, env);
}

/** Every command of a lab's README, and whether it prints what the page shows. */
async function followLab(lab, compose, env) {
  const labFolder = join(ROOT, 'labs', lab);
  const project = `${PROJECT}-${lab}`;
  const labEnv = { ...env, COMPOSE_PROJECT_NAME: project };
  const [command, ...first] = compose;
  const down = () =>
    run(command, [...first, 'down', '--volumes', '--timeout', '2'], { cwd: labFolder, env: labEnv, limitSeconds: 120 });
  undo.push(down);
  const page = parsePage(readFileSync(join(labFolder, 'README.md'), 'utf8'));
  await phase(`labs/${lab}: every command of its page`, async () => {
    await runPage(page, { folder: labFolder, compose, env: labEnv });
    undo.splice(undo.indexOf(down), 1);
    const commands = page.filter(({ command: typed }) => typed !== undefined);
    const compared = commands.filter(({ expected }) => expected.length > 0);
    return `${commands.length} commands, ${compared.length} outputs compared`;
  });
}

async function installTools() {
  const present = await Promise.all(TOOLS.map((tool) => succeeds('sh', ['-c', `command -v ${tool}`])));
  if (present.every(Boolean) && (await findCompose(process.env)) !== undefined) return;
  const { status } = spawnSync(process.execPath, ['setup.mjs', 'compose'], {
    cwd: ROOT,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) throw new Error('what the compose test needs could not be installed');
}

/** Up, all pods reach each other, what `more` asks for, down with nothing left. */
async function scenario(name, compose, env, more = async () => undefined) {
  const project = cluster(compose, PROJECT, env);
  const down = () => project.down();
  undo.push(down);
  console.log(`scenario: ${name}`);
  try {
    await phase('up --build', () => project.up('--build').then(() => undefined));
    await phase('all healthy', () => allHealthy(project));
    await pingAll(project);
    await more(project);
  } catch (error) {
    if (!isEnding()) await describeFailure(project);
    throw error;
  }
  await phase('down', async () => {
    await project.down();
    undo.splice(undo.indexOf(down), 1);
    const left = await project.leftOver();
    if (left.length > 0) throw new Error(`left over: ${left.join(' ')}`);
  });
}

async function lifeOfANode(project) {
  await phase('privileges', () => checkPrivileges(project));
  await phase('pods: every command of docs/pods.md', () => runPodsPage(project));
  const subnet = await subnetOf(project, 'node3');
  await phase(`killed node3: ${subnet} gone from node1 and node2`, () => killAndWatch(project, subnet));
  await phase('node1 and node2 still reach each other', () => pingPair(project));
  await phase('node3 up again', () => project.up().then(() => undefined));
  await phase('all healthy again', () => allHealthy(project));
  await phase(`${subnet} back on node1 and node2`, () =>
    until('the route', 30, async () => ((await routesTo(project, subnet)).every(Boolean) ? true : undefined)),
  );
  await pingAll(project);
}

async function allHealthy(project) {
  await until('every service healthy', 120, async () => {
    const unready = await project.unready();
    if (unready.length === 0) return true;
    throw new Error(unready.join(', '));
  });
}

async function pingAll(project) {
  await phase('every pod pings every other', async () => {
    const reports = await Promise.all(NODES.map((node) => ping(project, node)));
    const lost = reports.flatMap(({ results }) => results.filter(({ sent, received }) => received < sent));
    if (lost.length > 0) throw new Error(JSON.stringify(lost));
    const targets = reports.map(({ results }, index) => results.filter(({ to }) => to !== NODES[index]).length);
    if (targets.some((number) => number !== NODES.length - 1)) throw new Error(`pinged ${targets.join(', ')} others`);
    return `${targets.reduce((sum, number) => sum + number)} pairs, 0 lost`;
  });
}

/** Rejects, with the report in the message, where something was lost. */
async function ping(project, node) {
  return JSON.parse(await project.exec(node, 'gingham', 'ping', '--json'));
}

async function pingPair(project) {
  const other = (await subnetOf(project, 'node2')).replace(/\.0\/\d+$/, '.2');
  const { id } = (await project.containers()).get('node1');
  await project.docker(['exec', id, 'ping', '-c', '3', '-i', '0.2', '-W', '2', '-q', other]);
}

async function subnetOf(project, node) {
  const text = await project.exec(node, 'cat', '/run/gingham/subnet.env');
  const found = /^FLANNEL_SUBNET=(\d+\.\d+\.\d+)\.\d+\/(\d+)$/m.exec(text);
  if (found === null) throw new Error(`no FLANNEL_SUBNET in ${JSON.stringify(text)}`);
  return `${found[1]}.0/${found[2]}`;
}

async function checkPrivileges(project) {
  for (const [service, { id }] of await project.containers()) {
    const privileged = (await project.docker(['inspect', '--format', '{{.HostConfig.Privileged}}', id])).trim();
    if (privileged !== 'false') throw new Error(`${service} is privileged`);
    if (!service.endsWith('-bgpd')) continue;
    const status = await project.docker(['exec', id, 'cat', '/proc/1/status']);
    if (!/^CapEff:\t0+$/m.test(status)) throw new Error(`${service} has capabilities`);
  }
  return 'none privileged, bgpd without capabilities';
}

async function killAndWatch(project, subnet) {
  const containers = await project.containers();
  const victims = ['node3-bgpd', 'node3-flanneld', 'node3-felix', 'node3'].map((service) => containers.get(service).id);
  if (!(await routesTo(project, subnet)).every(Boolean)) throw new Error('the route was not there before');
  const killed = performance.now();
  const killing = project.docker(['kill', ...victims]);
  await until(
    'the route gone',
    30,
    async () => ((await routesTo(project, subnet)).some(Boolean) ? undefined : true),
    20,
  );
  const seconds = (performance.now() - killed) / 1000;
  await killing;
  return `${seconds.toFixed(2)} s after "docker kill" was called`;
}

/** Whether node1 and node2 have a route to `subnet`. */
async function routesTo(project, subnet) {
  const containers = await project.containers();
  const show = (node) => project.docker(['exec', containers.get(node).id, 'ip', 'route', 'show', subnet]);
  return (await Promise.all(['node1', 'node2'].map(show))).map((text) => text.trim() !== '');
}

async function describeFailure(project) {
  console.log(
    (await project.unready().catch((error) => [error.message])).map((line) => `  not ready: ${line}`).join('\n'),
  );
  console.log(await project.logs().catch((error) => error.message));
}
