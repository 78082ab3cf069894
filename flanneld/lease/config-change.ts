// What of a changed network config takes effect while flanneld runs, and what waits for a restart. Pure.
//
// Live: the bounds of the network, for as long as the node's subnet lies in them (they concern nodes that have yet to
// come), and of vxlan the MTU and DirectRouting. A restart: anything that all nodes must change together or that makes
// another device, and bounds that this node's subnet is outside of, because another subnet means other pod addresses.

import type { BackendConfig, NetworkConfig } from './network-config.ts';
import { fitsConfig, type Subnets } from './pick-subnet.ts';

/** Of the backend's options: those that are taken up at once. */
const LIVE_OPTIONS: readonly string[] = ['mtuBytes', 'directRouting'];

export interface ConfigChange {
  /** To run with from now on. */
  readonly live: NetworkConfig;
  /** What waits, each as `Backend.Port: 8472, to be 4789`. */
  readonly waiting: readonly string[];
}

/** From the config that runs to another; `own` is the node's lease. */
export function changeConfig(running: NetworkConfig, next: NetworkConfig, own: Subnets): ConfigChange {
  const waiting: string[] = [];
  const fits = fitsConfig(next, own);
  if (!fits) {
    const [is, willBe] = [running, next].map(describePools);
    waiting.push(`Network: ${is}, to be ${willBe}, where this node's subnet has no place`);
  }
  const { pool, pool6 } = fits ? next : running;
  const backend = changeBackend(running.backend, next.backend, waiting);
  return { live: { pool, ...(pool6 && { pool6 }), backend }, waiting };
}

function changeBackend(running: BackendConfig, next: BackendConfig, waiting: string[]): BackendConfig {
  if (running.type !== next.type) {
    waiting.push(`Backend.Type: ${running.type}, to be ${next.type}`);
    return running;
  }
  const is: Readonly<Record<string, unknown>> = { ...running };
  const willBe: Readonly<Record<string, unknown>> = { ...next };
  const live: Record<string, unknown> = { ...running };
  for (const option of new Set([...Object.keys(is), ...Object.keys(willBe)])) {
    if (is[option] === willBe[option]) continue;
    if (running.type === 'vxlan' && LIVE_OPTIONS.includes(option)) {
      if (willBe[option] === undefined) delete live[option];
      else live[option] = willBe[option];
    } else {
      waiting.push(`Backend.${fieldOf(option)}: ${String(is[option])}, to be ${String(willBe[option])}`);
    }
  }
  return live as unknown as BackendConfig;
}

/** The name of an option in etcd. */
function fieldOf(option: string): string {
  if (option === 'vni' || option === 'gbp') return option.toUpperCase();
  return option.slice(0, 1).toUpperCase() + option.slice(1);
}

function describePools({ pool, pool6 }: NetworkConfig): string {
  return [pool, ...(pool6 === undefined ? [] : [pool6])]
    .map(({ network, subnetLength, min, max }) => `${network} in /${subnetLength} from ${min} to ${max}`)
    .join(' and ');
}
