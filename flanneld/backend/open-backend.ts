// From the network config and this node's flags to its backend.
// The only place that knows all backends; everybody else knows the interface (backend.ts).

import type { OpenDataPlane, PlaneIoChoice } from '../dataplane/data-plane.ts';
import type { BackendConfig } from '../lease/network-config.ts';
import type { Backend, BackendContext } from './backend.ts';
import { HostGwBackend } from './host-gw-backend.ts';
import { IpipBackend } from './ipip-backend.ts';
import { UserBackend } from './user-backend.ts';
import { VxlanBackend } from './vxlan-backend.ts';

export interface BackendChoice {
  /** --vxlan-user: the network's vxlan in user space on this node. */
  readonly vxlanUser: boolean;
  /** --io. */
  readonly io: PlaneIoChoice;
  readonly openPlane: OpenDataPlane;
}

/** The backend, not started. */
export function openBackend(config: BackendConfig, choice: BackendChoice, context: BackendContext): Backend {
  const plane = { open: choice.openPlane, io: choice.io };
  switch (config.type) {
    case 'vxlan':
      return config.userSpace || choice.vxlanUser
        ? new UserBackend(config, plane, context)
        : new VxlanBackend(config, context);
    case 'udp':
      return new UserBackend(config, plane, context);
    case 'ipip':
      return new IpipBackend(config, plane, context);
    case 'host-gw':
      return new HostGwBackend(context);
  }
}
