// subnet.env: flannel's names, read back, replaced in one step.
// Files are real, in a folder of their own.

import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type NetworkConfig, parseNetworkConfig } from '../../../flanneld/lease/network-config.ts';
import { readSubnetFile, renderSubnetFile, SubnetFile } from '../../../flanneld/subnet-file.ts';
import { prefix } from '../../../lib/net/prefix.ts';

const CONFIG = parseNetworkConfig('{"Network":"10.5.0.0/16"}') as NetworkConfig;
const SUBNETS = { subnet: prefix('10.5.72.0/24') };

describe('subnet.env', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gh-subnet-'));
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  test('says what flannel says', () => {
    expect(renderSubnetFile(CONFIG, SUBNETS, 1450)).toBe(
      'FLANNEL_NETWORK=10.5.0.0/16\nFLANNEL_SUBNET=10.5.72.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n',
    );
  });

  test('names IPv6 where the node has it', async () => {
    const dual = parseNetworkConfig('{"Network":"10.5.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:5::/48"}');
    const subnets = { ...SUBNETS, subnet6: prefix('fd00:5:0:72::/64') };
    const text = renderSubnetFile(dual as NetworkConfig, subnets, 1450);
    expect(text).toContain('FLANNEL_IPV6_NETWORK=fd00:5::/48\nFLANNEL_IPV6_SUBNET=fd00:5:0:72::1/64\n');
    const path = join(folder, 'dual.env');
    await writeFile(path, text);
    expect(await readSubnetFile(path)).toEqual(subnets);
  });

  test.each(['', 'FLANNEL_SUBNET=\n', 'FLANNEL_SUBNET=10.5.72.1\n', 'FLANNEL_SUBNET=10.5.72.1/99\n', 'X=1\n'])(
    '%j names no subnet',
    async (text) => {
      const path = join(folder, 'subnet.env');
      await writeFile(path, `${text}FLANNEL_MTU=1450\n`);
      expect(await readSubnetFile(path)).toBeUndefined();
    },
  );

  test('is written with mode 0644, nothing is left beside it, and a missing folder is made', async () => {
    const path = join(folder, 'a', 'subnet.env');
    await new SubnetFile(path, () => renderSubnetFile(CONFIG, SUBNETS, 1450)).keep();
    expect((await stat(path)).mode & 0o777).toBe(0o644);
    expect(await readdir(join(folder, 'a'))).toEqual(['subnet.env']);
    expect(await readSubnetFile(path)).toEqual(SUBNETS);
  });

  test('is written again only when it would say something else', async () => {
    const path = join(folder, 'subnet.env');
    let mtuBytes = 1450;
    const file = new SubnetFile(path, () => renderSubnetFile(CONFIG, SUBNETS, mtuBytes));
    const keepAt = (bytes: number): Promise<void> => {
      mtuBytes = bytes;
      return file.keep();
    };
    await file.keep();
    await writeFile(path, 'mark');
    await file.keep();
    expect(await readFile(path, 'utf8')).toBe('mark');
    await Promise.all([keepAt(1430), keepAt(1420)]);
    expect(await readFile(path, 'utf8')).toContain('FLANNEL_MTU=1420');
  });

  test('a path that cannot be written is an error with its flag', async () => {
    const path = join(folder, 'file', 'subnet.env');
    await writeFile(join(folder, 'file'), '');
    await expect(new SubnetFile(path, () => renderSubnetFile(CONFIG, SUBNETS, 1450)).keep()).rejects.toMatchObject({
      exitCode: 4,
      message: expect.stringContaining('--subnet-file'),
    });
    expect(await readSubnetFile(path)).toBeUndefined();
  });
});
