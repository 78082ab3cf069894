// The picture of a topology as SVG, with what a scenario breaks marked by colour, by a cross and by a word. Pure.
//
// The text below the picture says the same, for who cannot see it.

import type { Broken, TopologyPicture } from '../results/results-schema.ts';
import { firstOf } from './figures.ts';
import { type Html, html } from './html.ts';
import { type Box, type LinkLine, layoutTopology } from './topology-layout.ts';

type Machine = TopologyPicture['machines'][number];
type Link = TopologyPicture['links'][number];

/** Characters that fit into a machine's box. */
const NAME_MAX = 14;
const DETAIL_MAX = 18;
const BADGE_MAX = 24;

/** `id` must be the page's only one of its kind. */
export function topologyFigure(topology: TopologyPicture, broken: Broken, id: string): Html {
  const { width, height, boxes, lines } = layoutTopology(topology);
  const words = brokenText(broken);
  const links = topology.links.map((link, at) => {
    const line = lines[at];
    return line === undefined ? { line: [], mark: [] } : linkMarkup(link, line, broken.links.includes(link.name));
  });
  const machines = topology.machines.map((machine) => {
    const box = boxes.get(machine.name);
    return box === undefined ? [] : machineMarkup(topology, machine, box, broken);
  });
  return html`<figure class="topology"><div class="wide"><svg viewBox="0 0 ${width} ${height}" style="max-width:${width}px"
 role="img" aria-labelledby="${id}-title ${id}-text"><title id="${id}-title">Topology ${topology.name}</title>${links.map(({ line }) => line)}${links.map(({ mark }) => mark)}${machines}</svg></div>
<figcaption id="${id}-text"><b>${topology.name}</b>: ${topology.summary} ${words}</figcaption></figure>`;
}

/** What is broken, as a sentence. */
export function brokenText({ machines, links, processes }: Broken): string {
  const parts = [
    ...(machines.length > 0 ? [firstOf(machines, 6)] : []),
    ...(links.length > 0 ? [`link ${firstOf(links, 6)}`] : []),
    ...(processes.length > 0 ? [`process ${firstOf(processes, 6)}`] : []),
  ];
  return parts.length === 0 ? 'No machine is singled out.' : `Broken on purpose (marked ✕): ${parts.join('; ')}.`;
}

function linkMarkup(link: Link, { path, x, y }: LinkLine, isBroken: boolean) {
  const impairment = [
    ...(link.delayMs === undefined ? [] : [`${link.delayMs} ms`]),
    ...(link.lossPercent === undefined ? [] : [`${link.lossPercent} % loss`]),
    ...(link.rateMbit === undefined ? [] : [`${link.rateMbit} Mbit/s`]),
  ];
  const title = `link ${link.name}: ${link.ends.join(' - ')}${impairment.map((each) => `, ${each}`).join('')}${isBroken ? ', broken' : ''}`;
  const cross = html`<g class="cross" transform="translate(${x} ${y})"><circle r="9"/><path d="M-4 -4L4 4M4 -4L-4 4"/></g>`;
  const label = impairment.map(
    (each, at) =>
      html`<text class="halo small" x="${x + 12}" y="${y + 4 + (at - impairment.length + 1) * 12}">${each}</text>`,
  );
  return {
    line: html`<g><title>${title}</title><path class="link${isBroken ? ' broken' : ''}" d="${path}"/></g>`,
    mark: html`<g>${isBroken ? cross : ''}${label}</g>`,
  };
}

function machineMarkup(topology: TopologyPicture, machine: Machine, box: Box, broken: Broken): Html {
  const { name, kind, address, backend, roles } = machine;
  const isBroken = broken.machines.includes(name);
  const ended = broken.processes
    .filter((process) => process === name || process.startsWith(`${name}/`))
    .map((process) => (process === name ? process : process.slice(name.length + 1)));
  const offered = topology.services.filter(({ nodes }) => nodes.includes(name)).map((service) => service.name);
  const usual = topology.machines.find((other) => other.kind === 'node')?.backend;
  const traits = [...roles, ...offered, ...(backend === undefined || backend === usual ? [] : [backend])];
  const mark = ended.length > 0 ? clipped(firstOf(ended, 2), BADGE_MAX) : isBroken ? 'broken' : '';
  const [left, top] = [box.x - box.width / 2, box.y - box.height / 2];
  const title = [
    `${kind} ${name}`,
    ...(address === undefined ? [] : [address]),
    ...(backend === undefined ? [] : [backend]),
    ...roles,
    ...offered.map((service) => `offers ${service}`),
    ...(isBroken ? ['broken'] : []),
    ...ended.map((process) => `${process} broken`),
  ].join(', ');
  const lines =
    kind === 'router'
      ? html`<text class="name" x="${box.x}" y="${box.y + 4}">${clipped(name, NAME_MAX)}</text>`
      : html`<text class="name" x="${box.x}" y="${top + 19}">${clipped(name, NAME_MAX)}</text><text class="small" x="${box.x}" y="${
          top + 34
        }">${clipped(address ?? '', DETAIL_MAX)}</text><text class="small trait" x="${box.x}" y="${top + 49}">${clipped(traits.join(', '), DETAIL_MAX)}</text>`;
  const width = mark.length * 6.6 + 26;
  const badge = html`<g class="badge" transform="translate(${box.x} ${top + box.height + 7})"><rect x="${-width / 2}" y="-9" width="${width}" height="18" rx="9"/><text y="4">✕ ${mark}</text></g>`;
  return html`<g class="machine ${kind}${mark === '' ? '' : ' broken'}"><title>${title}</title><rect x="${left}" y="${top}" width="${
    box.width
  }" height="${box.height}" rx="${kind === 'router' ? 15 : 7}"/>${lines}${mark === '' ? '' : badge}</g>`;
}

function clipped(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
