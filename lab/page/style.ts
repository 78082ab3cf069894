// The style sheet of the pages: one for screens in light and dark, and for paper. A text, and nothing that makes one.
//
// Every colour of text has a contrast of at least 4.5 to 1 with what it stands on; test/unit/lab/page checks it.

import { css } from './html.ts';

export const STYLE = css(`
:root {
  color-scheme: light dark;
  --paper: #ffffff; --card: #f6f7f9; --ink: #1b1f24; --soft: #57606a; --rule: #d0d7de; --grid: #e6e9ed;
  --good: #116329; --bad: #b3141b; --bad-soft: #fde3e4; --warn: #7a4a00; --warn-soft: #fff1d6; --accent: #0a53be;
  --phase: #fff6e0; --sent: #9aa4af; --machine: #ffffff; --router: #e3ebf6; --etcd: #e4f2e7; --on-stage: #12161b;
  --detect: #f2b84b; --decide: #8ab8f0; --feed: #b9a3e8; --kernel: #7fcfa0; --packet: #f0a08a;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #12161b; --card: #1b2128; --ink: #e6eaef; --soft: #a3adb8; --rule: #3a434d; --grid: #28303a;
    --good: #5fd07f; --bad: #ff8a8a; --bad-soft: #44181b; --warn: #f0c46a; --warn-soft: #3a2c10; --accent: #82b4ff;
    --phase: #2a2415; --sent: #6b7682; --machine: #1b2128; --router: #23344d; --etcd: #1d3a28;
    --detect: #d99e2e; --decide: #6aa2e6; --feed: #a58be0; --kernel: #5cba84; --packet: #e58a70;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
main, header.page, footer { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
header.page { padding-top: 28px; }
footer { padding-bottom: 40px; color: var(--soft); font-size: 13px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 6px; }
h2 { font-size: 21px; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h3 { font-size: 16px; margin: 26px 0 8px; }
p { margin: 6px 0 10px; max-width: 76ch; }
a { color: var(--accent); }
.soft { color: var(--soft); }
.small-text { color: var(--soft); font-size: 13px; max-width: none; margin: 14px 0 4px; }
.reasons { display: block; min-width: 130px; }
section.scenario { border-top: 3px solid var(--ink); margin-top: 44px; padding-top: 14px; }
.head { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: center; }
.verdict { font-weight: 650; white-space: nowrap; }
.verdict.yes { color: var(--good); }
.verdict.no, .bad-text { color: var(--bad); }
.head .verdict { border: 1.5px solid currentColor; border-radius: 999px; padding: 1px 12px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 10px; margin: 16px 0; padding: 0; }
.facts > div { min-width: 0; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 9px 13px; }
.facts dt { color: var(--soft); font-size: 13px; }
.facts dd { margin: 0; font-size: 22px; font-weight: 620; font-variant-numeric: tabular-nums; }
.facts dd small { display: block; font-size: 13px; font-weight: 400; color: var(--soft); line-height: 1.35; }
.notice { background: var(--warn-soft); color: var(--warn); border-left: 4px solid currentColor; padding: 8px 14px; max-width: none; }
.failure { background: var(--bad-soft); color: var(--bad); border-left: 4px solid currentColor; padding: 8px 14px; overflow-wrap: anywhere; max-width: none; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; width: 100%; }
caption { text-align: left; color: var(--soft); padding: 4px 0; font-size: 13px; }
th, td { text-align: left; padding: 4px 10px 4px 0; border-bottom: 1px solid var(--rule); vertical-align: top; }
thead th { color: var(--soft); font-weight: 600; font-size: 13px; vertical-align: bottom; }
tbody th { font-weight: 600; overflow-wrap: anywhere; }
th .soft { font-weight: 400; }
td.number, th.number { text-align: right; }
td.number, .flows tbody th, .verdict { white-space: nowrap; }
td.text { overflow-wrap: anywhere; }
table.pairs { width: auto; font-size: 13px; }
table.pairs td, table.pairs thead th { text-align: right; padding: 3px 7px; border-left: 1px solid var(--grid); }
table.dense { font-size: 11px; }
table.dense td { padding: 2px 3px; }
table.dense thead th { padding: 4px 0; text-align: center; }
table.dense thead th span { writing-mode: vertical-rl; }
table.pairs td.lost { background: var(--bad-soft); color: var(--bad); font-weight: 650; }
table.pairs td.none { color: var(--soft); }
table.pairs td.full { outline: 1.5px solid var(--soft); outline-offset: -2px; }
td.worse { background: var(--bad-soft); color: var(--bad); font-weight: 650; }
td.slower { background: var(--warn-soft); color: var(--warn); }
td.better { color: var(--good); }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 12px 28px; }
figure { margin: 12px 0; }
figcaption { color: var(--soft); font-size: 13px; margin-top: 4px; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); }
.topology svg { margin: 0 auto; }
.timeline svg, .stages svg { min-width: 760px; }
.small { font-size: 11px; }
svg .tick { fill: var(--soft); font-size: 11px; text-anchor: middle; }
svg .note { fill: var(--soft); font-size: 11.5px; }
svg .note.bad { fill: var(--bad); font-weight: 600; }
svg .turned { text-anchor: end; }
svg .never { fill: var(--bad); font-size: 12px; }
svg .halo { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
svg .phase { fill: var(--phase); }
svg .grid, svg .rule, svg .axis { stroke: var(--grid); fill: none; }
svg .rule { stroke: var(--rule); }
svg .axis { stroke: var(--soft); }
svg .fault-line { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 4 3; }
svg .sent { stroke: var(--sent); stroke-width: 2; }
svg .loss { fill: url(#hatch); stroke: var(--bad); stroke-width: 1.2; }
svg .hatch-ground { fill: var(--bad-soft); }
svg .hatch-line { stroke: var(--bad); stroke-width: 2; }
svg .change { fill: var(--accent); stroke: var(--paper); }
svg .event { fill: var(--paper); stroke: var(--soft); stroke-width: 1.4; }
svg .event.chain { fill: var(--ink); stroke: var(--paper); }
svg .step { fill: var(--soft); }
svg .step.fault { fill: var(--bad); }
svg .step.mend { fill: var(--good); }
svg .stage { stroke: var(--paper); stroke-width: .8; }
svg .stage.detect, .key .detect { fill: var(--detect); background: var(--detect); }
svg .stage.decide, .key .decide { fill: var(--decide); background: var(--decide); }
svg .stage.feed, .key .feed { fill: var(--feed); background: var(--feed); }
svg .stage.kernel, .key .kernel { fill: var(--kernel); background: var(--kernel); }
svg .stage.packet, .key .packet { fill: var(--packet); background: var(--packet); }
svg .stage-text { fill: var(--on-stage); font-size: 11px; text-anchor: middle; }
.key i { display: inline-block; width: 12px; height: 12px; border-radius: 2px; margin-right: 7px; vertical-align: -1px; }
svg .dot { fill: var(--accent); fill-opacity: .75; stroke: var(--paper); }
svg .percentile { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 3 2; }
svg .link { stroke: var(--soft); stroke-width: 1.8; fill: none; }
svg .link.broken { stroke: var(--bad); stroke-dasharray: 6 4; stroke-width: 2.4; }
svg .cross circle { fill: var(--paper); stroke: var(--bad); stroke-width: 1.6; }
svg .cross path { stroke: var(--bad); stroke-width: 2.2; }
svg .machine rect { fill: var(--machine); stroke: var(--soft); stroke-width: 1.3; }
svg .machine.router rect { fill: var(--router); }
svg .machine.etcd rect { fill: var(--etcd); }
svg .machine.broken > rect { stroke: var(--bad); stroke-width: 2.6; stroke-dasharray: 6 3; }
svg .machine text, svg .badge text { text-anchor: middle; }
svg .machine .name { font-weight: 650; font-size: 13px; }
svg .machine .small { fill: var(--soft); }
svg .machine .trait { fill: var(--accent); }
svg .badge rect, svg .machine.broken .badge rect { fill: var(--bad); stroke: var(--paper); stroke-width: 1.5; stroke-dasharray: none; }
svg .badge text { fill: var(--paper); font-weight: 650; font-size: 11px; }
details { margin: 8px 0; }
summary { cursor: pointer; color: var(--accent); padding: 3px 0; }
.patterns { position: absolute; width: 0; height: 0; }
@media print {
  :root {
    color-scheme: light;
    --paper: #ffffff; --card: #ffffff; --ink: #000000; --soft: #444b52; --rule: #b8bfc6; --grid: #dfe3e7;
    --good: #0b4f1f; --bad: #a10d14; --bad-soft: #fde3e4; --warn: #6b4100; --warn-soft: #ffffff; --accent: #0a3f90;
    --phase: #fff9ea; --sent: #8a939c; --machine: #ffffff; --router: #e9eff8; --etcd: #e9f5ec; --on-stage: #12161b;
    --detect: #f2b84b; --decide: #8ab8f0; --feed: #b9a3e8; --kernel: #7fcfa0; --packet: #f0a08a;
  }
  @page { size: A4; margin: 14mm 12mm; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { font-size: 10.5pt; }
  main, header.page, footer { max-width: none; padding: 0; }
  .wide { overflow: visible; }
  .timeline svg, .stages svg { min-width: 0; }
  .topology svg { max-height: 95mm; }
  section.scenario { break-before: page; margin-top: 0; }
  section.scenario:only-of-type { break-before: auto; margin-top: 24px; }
  figure, tr, .facts, .head, .notice { break-inside: avoid; }
  h2, h3, summary, caption { break-after: avoid; }
  table, thead th { font-size: 9pt; }
  table.flows, .flows thead th, table.runs, .runs thead th { font-size: 8pt; }
  th, td { padding: 3px 7px 3px 0; }
  table.pairs { font-size: 7.5pt; }
  table.dense { font-size: 6.5pt; }
  .facts { grid-template-columns: repeat(5, minmax(0, 1fr)); }
  .facts dd { font-size: 14pt; }
  td.number, .flows tbody th { white-space: normal; }
  .columns { grid-template-columns: 1fr 1fr; }
  details.drawn::details-content { content-visibility: visible; block-size: auto; display: block; }
  details.drawn > summary { color: var(--ink); font-weight: 600; list-style: none; }
  details:not(.drawn), nav { display: none; }
  a { color: inherit; text-decoration: none; }
}
`);
