// What iputils ping says, as the script hands it over, and the sum of many.
//
// Texts as iputils 20221126 prints them, newlines made blanks.

import { describe, expect, it } from 'vitest';
import { parsePings, pingReport } from '../../../ctl/pod-ping.ts';
import { address } from '../../../lib/net/address.ts';

const TWO = { node: 'node2', address: address('10.5.2.2') };
const THREE = { node: 'node3', address: address('10.5.3.2') };

const ANSWERED =
  '10.5.2.2 PING 10.5.2.2 (10.5.2.2) 56(84) bytes of data. --- 10.5.2.2 ping statistics --- ' +
  '3 packets transmitted, 3 received, 0% packet loss, time 401ms rtt min/avg/max/mdev = 0.061/0.096/0.131/0.028 ms\n';
const SILENT =
  '10.5.3.2 PING 10.5.3.2 (10.5.3.2) 56(84) bytes of data. --- 10.5.3.2 ping statistics --- ' +
  '3 packets transmitted, 0 received, 100% packet loss, time 2031ms\n';
const PARTLY =
  '10.5.3.2 PING 10.5.3.2 (10.5.3.2) 56(84) bytes of data. --- 10.5.3.2 ping statistics --- ' +
  '3 packets transmitted, 2 received, +1 errors, 33.3333% packet loss, time 402ms ' +
  'rtt min/avg/max/mdev = 0.050/0.055/0.060/0.005 ms\n';

describe('parsePings', () => {
  it('reads counts and mean time, in the order of the targets', () => {
    expect(parsePings('node1', [TWO, THREE], 3, SILENT + ANSWERED)).toEqual([
      { from: 'node1', to: 'node2', address: '10.5.2.2', sent: 3, received: 3, rttMs: 0.096 },
      { from: 'node1', to: 'node3', address: '10.5.3.2', sent: 3, received: 0 },
    ]);
  });

  it('keeps what ping said instead of counting', () => {
    const [result] = parsePings('node1', [TWO], 1, '10.5.2.2 ping: connect: Network is unreachable\n');
    expect(result).toMatchObject({ sent: 1, received: 0, error: 'ping: connect: Network is unreachable' });
  });

  it('counts a target of which nothing was said as lost', () => {
    const [result] = parsePings('node1', [TWO], 2, '');
    expect(result).toMatchObject({ sent: 2, received: 0, error: 'ping said nothing' });
  });
});

describe('pingReport', () => {
  it('counts pairs that lost some or all', () => {
    const some = parsePings('node1', [TWO, THREE], 3, ANSWERED + PARTLY);
    const all = parsePings('node1', [TWO, THREE], 3, ANSWERED + SILENT);
    expect(pingReport([...some, ...all])).toMatchObject({ pairs: 4, lost: 2 });
  });

  it('is a report for a cluster of one node too', () => {
    expect(pingReport([])).toEqual({ pairs: 0, lost: 0, results: [] });
  });
});
