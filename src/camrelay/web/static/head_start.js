// What early.js began for a camera's own page, for the player of that camera to go on with. Whatever failed there is as
// if it had never begun: the player tries for itself, and says what is wrong.

/** A page that has no player by then will have none. */
const UNCLAIMED_MS = 10_000;

let begun = globalThis.camrelayHeadStart ?? null;

/** Whether something was begun for `camera` that nobody has taken yet. */
export const hasBegun = (camera) => begun !== null && begun.camera === camera;

/** The <video> in which the page shows what was begun, or null. */
export const screen = () => begun?.video ?? null;

/**
 * What was begun for the server, camera and token of a Playback, once: {session, connection, resource, stream}, an answer
 * of POST /v1/media/sessions, a connection with its answer applied, the URL of its WHEP resource, and the tracks that the
 * <video> may already show. Otherwise null.
 */
export async function take({ server, camera, token }) {
  if (!hasBegun(camera)) return null;
  const { connection, stream, video, opened, ...mine } = begun;
  begun = null;
  const found = await opened;
  if (found && mine.token === token && server.origin === location.origin) return { ...found, connection, stream };
  video.srcObject = null;
  connection.close();
  return null;
}

if (begun) setTimeout(() => take({ ...begun, server: {} }), UNCLAIMED_MS);
