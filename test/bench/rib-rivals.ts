// BIRD 2 and gobgpd 3 in the place of bgpd: the same routes, the same two namespaces, the same clock (see rib-speakers.ts).
//
// Their sender is always BIRD, which loads its routes fastest and never is what is waited for. Retry times are set low, so
// that no row waits for a timer.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodePair } from './node-pair.ts';
import type { RibRow } from './rib.ts';
import { execute, manyPrefixes, Speaker, until, whereIs } from './rib-speakers.ts';
import { rounded } from './statistics.ts';

const BGP = 'hold time 90; connect delay time 0; connect retry time 1; error wait time 1, 1;';

/** Measures one of them as the receiver. Rejects where it or BIRD does not work here. */
export async function rivalRow(
  name: 'bird' | 'gobgpd',
  { nodes: [receiver, sender] }: NodePair,
  folder: string,
  routes: number,
  signal: AbortSignal,
): Promise<RibRow> {
  if ((await whereIs('bird')) === undefined) throw new Error('BIRD is needed as the sender');
  const speakers: Speaker[] = [];
  const at = (file: string): string => join(folder, file);
  const bird = async (node: typeof receiver, file: string, text: string): Promise<Speaker> => {
    await writeFile(at(`${file}.conf`), text);
    const speaker = new Speaker(node, ['bird', '-f', '-c', at(`${file}.conf`), '-s', at(`${file}.ctl`)]);
    speakers.push(speaker);
    return speaker;
  };
  const birdCount = async (file: string): Promise<number> => {
    const { stdout } = await execute('birdc', ['-s', at(`${file}.ctl`), 'show', 'route', 'count']);
    return Number(/(\d+) of \d+ routes/.exec(stdout)?.[1] ?? 0);
  };
  try {
    const statics = manyPrefixes(routes).map((prefix) => `route ${prefix} blackhole;`);
    const exported = `protocol static { ipv4; ${statics.join('\n')} }`;
    await bird(sender, 'sender', `${birdFile(sender.underlay, receiver.underlay)} ${exported}`);
    await until(async () => (await birdCount('sender')) >= routes, signal);
    if (name === 'bird') {
      const started = await bird(receiver, 'receiver', birdFile(receiver.underlay, sender.underlay));
      const [upMs, doneMs] = await Promise.all([
        started.says('BGP session established', signal),
        until(async () => (await birdCount('receiver')) >= routes, signal),
      ]);
      return rowOf(name, routes, doneMs - upMs, await started.peakRssMb());
    }
    await writeFile(at('gobgpd.toml'), gobgpFile(receiver.underlay, sender.underlay));
    const started = new Speaker(receiver, ['gobgpd', '-f', at('gobgpd.toml')]);
    speakers.push(started);
    const summary = ['netns', 'exec', receiver.namespace, 'gobgp', 'global', 'rib', 'summary'];
    const [upMs, doneMs] = await Promise.all([
      started.says('Peer Up', signal),
      until(
        async () => Number(/Destination: (\d+)/.exec((await execute('ip', summary)).stdout)?.[1] ?? 0) >= routes,
        signal,
      ),
    ]);
    return rowOf(name, routes, doneMs - upMs, await started.peakRssMb());
  } finally {
    await Promise.all(speakers.map((speaker) => speaker.stop()));
  }
}

function rowOf(name: RibRow['name'], routes: number, tookMs: number, peakMb: number): RibRow {
  return {
    name,
    routes,
    loc_rib_s: rounded(tookMs / 1000, 3),
    feed_s: null,
    peak_rss_mb: rounded(peakMb, 1),
  };
}

function birdFile(own: string, other: string): string {
  return `log stderr all; router id ${own}; protocol device {}
protocol bgp peer { debug { states, events }; local ${own} as 64512; neighbor ${other} as 64512; ${BGP}
  ipv4 { import all; export where source = RTS_STATIC; next hop self; }; }`;
}

function gobgpFile(own: string, other: string): string {
  return `[global.config]
as = 64512
router-id = "${own}"
[[neighbors]]
[neighbors.config]
neighbor-address = "${other}"
peer-as = 64512
[neighbors.timers.config]
connect-retry = 1
`;
}
