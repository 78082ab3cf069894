// Calls of GoBGP's API that bgpd refuses, and why: in words, because the person at the `gobgp` command reads them.
//
// They are not in proto/apipb: nothing of their messages is read. A call that is missing here too gets gRPC's own answer.

import { type Server, status } from '@grpc/grpc-js';

const PEERS = 'neighbors come from the registry in etcd and from the file of --config';
const POLICIES = 'policies come from the file of --config, which is read again as it changes';
const GROUPS = 'groups of neighbors come from the file of --config';
const LIFE = 'bgpd is started and stopped as a process, with its AS number and router id as flags';
const NO_VRF = 'bgpd has no VRFs: routes are ipv4 and ipv6 (unicast)';
const NO_RPKI = 'bgpd does not validate origins (RPKI)';
const NO_ZEBRA = 'routes go to the kernel through felix, not through zebra';
const NO_MRT = 'bgpd writes no MRT files';
const NO_BMP = 'bgpd has no BMP: its metrics are at /metrics, its state at /status';

/** By method: why it is refused. */
export const UNSERVED: Readonly<Record<string, string>> = {
  StartBgp: LIFE,
  StopBgp: LIFE,
  AddPeer: PEERS,
  DeletePeer: PEERS,
  UpdatePeer: PEERS,
  AddPeerGroup: GROUPS,
  DeletePeerGroup: GROUPS,
  ListPeerGroup: GROUPS,
  UpdatePeerGroup: GROUPS,
  AddDynamicNeighbor: PEERS,
  ListDynamicNeighbor: PEERS,
  DeleteDynamicNeighbor: PEERS,
  AddPathStream: 'paths are added one by one (AddPath)',
  AddVrf: NO_VRF,
  DeleteVrf: NO_VRF,
  ListVrf: NO_VRF,
  AddPolicy: POLICIES,
  DeletePolicy: POLICIES,
  SetPolicies: POLICIES,
  AddDefinedSet: POLICIES,
  DeleteDefinedSet: POLICIES,
  AddStatement: POLICIES,
  DeleteStatement: POLICIES,
  AddPolicyAssignment: POLICIES,
  DeletePolicyAssignment: POLICIES,
  SetPolicyAssignment: POLICIES,
  AddRpki: NO_RPKI,
  DeleteRpki: NO_RPKI,
  ListRpki: NO_RPKI,
  EnableRpki: NO_RPKI,
  DisableRpki: NO_RPKI,
  ResetRpki: NO_RPKI,
  ListRpkiTable: NO_RPKI,
  EnableZebra: NO_ZEBRA,
  EnableMrt: NO_MRT,
  DisableMrt: NO_MRT,
  AddBmp: NO_BMP,
  DeleteBmp: NO_BMP,
  ListBmp: NO_BMP,
  SetLogLevel: 'the log level is a flag: --log-level',
};

/** Makes `server` refuse them. */
export function refuseUnserved(server: Server, service: string): void {
  for (const [method, why] of Object.entries(UNSERVED)) {
    // As a bidirectional stream, whatever the method is: it is refused before anything is read.
    server.register(
      `/${service}/${method}`,
      (call: { emit(event: 'error', error: object): boolean }) => {
        call.emit('error', { code: status.UNIMPLEMENTED, details: `${method} is not served: ${why}` });
      },
      () => Buffer.alloc(0),
      (bytes) => bytes,
      'bidi',
    );
  }
}
