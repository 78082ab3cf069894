// Settings: precedence of flag over variable over default, and errors that name flag, value and what is accepted.
//
// The texts of the errors are compared whole: they are what a user has to go by.

import { describe, expect, it } from 'vitest';
import { ExitError } from '../../../../lib/run/exit.ts';
import { choice, integer, list, readSettings, text, toggle } from '../../../../lib/run/settings.ts';

const program = { name: 'testd', summary: 'for tests', envPrefix: 'TESTD_' };
const table = {
  'etcd-prefix': text('/coreos.com/network', 'where the keys live'),
  'hold-time-seconds': integer(9, 3, 65_535, 'seconds', 'hold time'),
  'ip-masq': toggle(false, 'masquerade'),
  io: choice(['auto', 'tuntap'], 'auto', 'I/O driver'),
  endpoints: list('a,b', 'words', 'where', (part) => (part.length < 4 ? part : undefined)),
};

const read = (argv: readonly string[], env: Record<string, string> = {}) => readSettings(program, table, argv, env);

describe('readSettings', () => {
  it('takes the flag before the variable and the variable before the default', () => {
    const env = { TESTD_HOLD_TIME_SECONDS: '30', TESTD_IO: 'tuntap' };
    const settings = read(['--hold-time-seconds', '60', '--etcd-prefix=/x'], env);
    expect(settings['hold-time-seconds']).toBe(60);
    expect(settings.io).toBe('tuntap');
    expect(settings['etcd-prefix']).toBe('/x');
    expect(settings.endpoints).toEqual(['a', 'b']);
  });

  it('reads a bare switch as true and an explicit value as given', () => {
    expect(read([])['ip-masq']).toBe(false);
    expect(read(['--ip-masq'])['ip-masq']).toBe(true);
    expect(read(['--ip-masq=false'], { TESTD_IP_MASQ: 'true' })['ip-masq']).toBe(false);
  });

  it.each([
    [
      ['--hold-time-seconds', '2'],
      {},
      'testd: --hold-time-seconds "2" is not accepted: --hold-time-seconds takes a whole number of seconds from 3 to 65535',
    ],
    [[], { TESTD_IO: 'uring' }, 'testd: TESTD_IO="uring" is not accepted: --io takes one of auto, tuntap'],
    [
      ['--endpoints', 'a,toolong'],
      {},
      'testd: --endpoints "a,toolong" is not accepted: --endpoints takes a comma-separated list of words',
    ],
    [['--ip-masq=maybe'], {}, 'testd: --ip-masq "maybe" is not accepted: --ip-masq takes true or false'],
    [['--unknown'], {}, "testd: unknown option '--unknown' (see testd --help)"],
    [['stray'], {}, 'testd: too many arguments. Expected 0 arguments but got 1. (see testd --help)'],
  ])('refuses %j with %j on one line', (argv, env, message) => {
    const attempt = () => read(argv, env as Record<string, string>);
    expect(attempt).toThrow(ExitError);
    expect(attempt).toThrow(message);
  });

  it('says what is accepted of a number without a unit', () => {
    expect(integer(1, 1, 9, '', 'a priority').accepts).toBe('a whole number from 1 to 9');
  });

  it('never prints a secret', () => {
    const secret = { password: { ...text('', 'of etcd'), parse: () => undefined, secret: true } };
    expect(() => readSettings(program, secret, ['--password', 'hunter2'], {})).toThrow(/\(hidden\)/);
    expect(() => readSettings(program, secret, ['--password', 'hunter2'], {})).not.toThrow(/hunter2/);
  });
});
