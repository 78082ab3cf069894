// Metrics of a simulated daemon: they count, and nobody asks. Without the process's default ones, which would add an
// observer of the real process for each of thousands of simulated nodes.

import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Metrics } from '../../lib/run/status-server.ts';

export function silentMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  return {
    registry,
    prefix: '',
    counter: (name, help, ...[labelNames = []]) => new Counter({ name, help, labelNames, registers }),
    gauge: (name, help, ...[labelNames = []]) => new Gauge({ name, help, labelNames, registers }),
    histogram: (name, help, buckets, ...[labelNames = []]) =>
      new Histogram({ name, help, labelNames, buckets: [...buckets], registers }),
  };
}
