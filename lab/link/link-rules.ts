// The rules that lead what leaves an interface through the lab's own link, and the names of what it makes.
//
// Pure. A table per interface, so that the ends of two links in one namespace do not disturb each other.

/** What the link itself sends carries it and is let through. */
export const LINK_MARK = 0x47;

/** The TAP of the link on this interface: at most 15 characters. */
export function linkTap(device: string): string {
  return `lk-${device}`.slice(0, 15);
}

/** Makes the link's table, for `nft -f`. */
export function linkRules(device: string): string {
  const table = `netdev ${linkTable(device)}`;
  return [
    `add table ${table}`,
    `add chain ${table} out { type filter hook egress device "${device}" priority 0; }`,
    `flush chain ${table} out`,
    `add rule ${table} out meta mark ${LINK_MARK} accept`,
    `add rule ${table} out fwd to "${linkTap(device)}"`,
    '',
  ].join('\n');
}

/** Removes it, for `nft -f`; a table that is not there is no error. */
export function noLinkRules(device: string): string {
  const table = `netdev ${linkTable(device)}`;
  return `add table ${table}\ndelete table ${table}\n`;
}

function linkTable(device: string): string {
  return `ghlink-${device.replaceAll(/[^a-z0-9-]/g, '_')}`;
}
