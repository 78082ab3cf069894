// For `node --import`: the program takes the time for an hour later than it is, as on a machine whose clock is wrong.
//
// Only what asks for the date: timers and monotonic time go on as they are, which is so on such a machine too.

const AHEAD_MS = 3_600_000;
const RealDate = Date;

globalThis.Date = class extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(RealDate.now() + AHEAD_MS);
    else super(...args);
  }

  static now() {
    return RealDate.now() + AHEAD_MS;
  }
};
