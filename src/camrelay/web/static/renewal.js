// When a right to watch is renewed. Times are ms of one clock.

/** So much of its life a right has lived when it is renewed: what is left is enough for several attempts. */
const LIVED = 0.7;
/** An attempt that brought no later end is repeated after this much of its life, and not sooner than that. */
const AGAIN = 0.1;
const AGAIN_MIN_MS = 10_000;

/** Whether a right that began at `beganAt` and ends at `endsAt` is to be renewed now; `askedAt` is when that was tried last, or null. */
export function isDue({ beganAt, endsAt, askedAt }, now) {
  const life = endsAt - beganAt;
  if (now < beganAt + LIVED * life || now >= endsAt) return false;
  return askedAt === null || now >= askedAt + Math.max(AGAIN * life, AGAIN_MIN_MS);
}

/** Whether a session that is to end at `next` (seconds, null: never) lasts longer than one that ends at `end`. */
export const lastsLonger = (next, end) => next === null || next > end + 1;
